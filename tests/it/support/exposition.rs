//! The text that Prometheus reads, taken apart and held to `OpenMetrics` on the way.

use std::collections::{BTreeMap, BTreeSet};

/// What a text says of one metric.
#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    pub(crate) help: String,
    pub(crate) kind: String,
    unit: String,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
    /// Name and labels, as they stand in the text.
    pub(crate) series: String,
}

/// Every metric by its name; fails where the text is no `OpenMetrics`.
pub(crate) fn parse(text: &str) -> BTreeMap<String, Family> {
    let lines = text.strip_suffix("# EOF\n").expect("an end that is marked");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut name, mut seen) = (String::new(), BTreeSet::new());
    for line in lines.lines() {
        if let Some(line) = line.strip_prefix("# ") {
            let [word, of, said] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            if word == "HELP" {
                assert!(!families.contains_key(of), "{of} comes twice");
                of.clone_into(&mut name);
            }
            assert_eq!(of, name, "{line}");
            let family = families.entry(name.clone()).or_default();
            let place = match word {
                "HELP" => &mut family.help,
                "TYPE" => &mut family.kind,
                "UNIT" => &mut family.unit,
                _ => panic!("{line}"),
            };
            said.clone_into(place);
            continue;
        }
        let sample = sample(line);
        assert!(seen.insert(sample.series.clone()), "{line} comes twice");
        let family = families.get_mut(&name).expect("a family before its samples");
        let suffixes: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => panic!("{other}"),
        };
        assert!(suffixes.iter().any(|suffix| sample.name == format!("{name}{suffix}")), "{line} in {name}");
        family.samples.push(sample);
    }
    for (name, family) in &families {
        assert!(name.ends_with(&family.unit) && family.help.ends_with('.'), "{name}: {family:?}");
        family.check_buckets(name);
    }
    families
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = series.strip_suffix('}').map_or((series, ""), |series| series.split_once('{').unwrap());
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    assert!(word(name), "{line}");
    let pairs = labels.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        let (label, value) = pair.strip_suffix('"').and_then(|pair| pair.split_once("=\"")).expect("label=\"value\"");
        assert!(word(label), "{line}");
        (label.to_owned(), value.to_owned())
    });
    let labels = pairs.collect();
    Sample { name: name.to_owned(), labels, value: value.parse().expect("a number"), series: series.to_owned() }
}

impl Family {
    /// The labels that the samples have, but for the one that every histogram's buckets have.
    pub(crate) fn labels(&self) -> BTreeSet<&str> {
        self.samples.iter().flat_map(|sample| sample.labels.keys()).map(String::as_str).filter(|l| *l != "le").collect()
    }

    /// Each histogram's buckets grow, and the last has everything.
    fn check_buckets(&self, name: &str) {
        let mut last = 0.0;
        for sample in &self.samples {
            match sample.labels.get("le").map(String::as_str) {
                Some(end) => {
                    assert!(sample.value >= last, "{}", sample.series);
                    let of_count = |other: &&Sample| {
                        let labels = other.labels.iter().all(|(label, value)| sample.labels[label] == *value);
                        other.name == format!("{name}_count") && labels
                    };
                    let count = self.samples.iter().find(of_count).expect("a count").value;
                    assert!(end != "+Inf" || (sample.value - count).abs() < 0.5, "{}", sample.series);
                    last = sample.value;
                }
                None => last = 0.0,
            }
        }
    }
}
