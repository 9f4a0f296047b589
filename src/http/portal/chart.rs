//! Charts as SVG: shapes with presentation attributes, so that the page's policy holds, in colours that are names. The
//! stylesheet (`assets/audit.css`) knows each of them and gives it the one of the theme; every chart stands beside a table of
//! its figures.

use plotters::{
    coord::ranged1d::SegmentValue,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// Texts and axes.
const INK: RGBColor = RGBColor(1, 1, 1);
/// Lines behind the bars.
const GRID: RGBColor = RGBColor(2, 2, 2);
const WIDTH: u32 = 640;
const FONT: (&str, i32) = ("sans-serif", 13);
/// A longer name is cut: the table has all of it.
const LONGEST_NAME: usize = 28;

/// What a bar says beside its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
}

impl Tone {
    fn colour(self) -> ShapeStyle {
        match self {
            Self::Plain => RGBColor(3, 3, 3),
            Self::Good => RGBColor(4, 4, 4),
            Self::Bad => RGBColor(5, 5, 5),
        }
        .filled()
    }
}

/// A row of a chart of lying bars.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) length: f64,
    /// What stands at its end.
    pub(super) said: String,
    pub(super) tone: Tone,
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Two columns for each day, side by side. Nothing where it cannot be drawn: the table is there.
pub(super) fn columns(days: &[(String, [(i64, Tone); 2])]) -> String {
    drawn(240, |area| {
        // A range needs a length.
        let count = i32::try_from(days.len()).unwrap_or(i32::MAX).max(1);
        let most = days.iter().flat_map(|(_, columns)| columns.map(|(figure, _)| figure)).max().unwrap_or_default();
        let mut builder = ChartBuilder::on(area);
        builder.margin(8).x_label_area_size(28).y_label_area_size(48);
        let mut chart = builder.build_cartesian_2d(0.0..f64::from(count), 0..most.max(4) + most / 20)?;
        let day = |at: &f64| days.iter().enumerate().find(|(i, _)| near(*i, *at)).map_or("", |(_, (day, _))| day);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style(FONT.into_font().color(&INK))
            .x_labels(7)
            .x_label_formatter(&|at| day(at).to_owned())
            .y_labels(5)
            .draw()?;
        let columns = (0..count).map(f64::from).zip(days).flat_map(|(at, (_, columns))| {
            [0.12, 0.5].into_iter().zip(columns).map(move |(offset, (figure, tone))| {
                Rectangle::new([(at + offset, 0), (at + offset + 0.36, *figure)], tone.colour())
            })
        });
        chart.draw_series(columns)?;
        Ok(())
    })
}

/// Whether a label stands where this day begins.
fn near(day: usize, at: f64) -> bool {
    u32::try_from(day).is_ok_and(|day| (f64::from(day) - at).abs() < 0.01)
}

/// One lying bar for each name, the first on top.
pub(super) fn bars(bars: &[Bar]) -> String {
    // A range needs a length: a bar alone has an empty row below it.
    let count = i32::try_from(bars.len()).unwrap_or(i32::MAX).max(2);
    drawn(16 + 26 * count.unsigned_abs(), |area| {
        let most = bars.iter().map(|bar| bar.length).fold(1.0, f64::max);
        let mut builder = ChartBuilder::on(area);
        builder.margin(8).y_label_area_size(210);
        // Room for what stands at the end of the longest.
        let mut chart = builder.build_cartesian_2d(0.0..most * 1.25, (0..count - 1).into_segmented())?;
        let name = |at: &SegmentValue<i32>| match at {
            SegmentValue::CenterOf(at) => bar_at(bars, count, *at).map_or(String::new(), |bar| cut(&bar.name)),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_mesh()
            .disable_x_axis()
            .axis_style(GRID)
            .label_style(FONT.into_font().color(&INK))
            .y_labels(bars.len().max(2))
            .y_label_formatter(&name)
            .draw()?;
        let at_end = TextStyle::from(FONT.into_font()).color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        for at in 0..count {
            let Some(bar) = bar_at(bars, count, at) else { continue };
            let ends = [(0.0, SegmentValue::Exact(at)), (bar.length, SegmentValue::Exact(at + 1))];
            let mut shape = Rectangle::new(ends, bar.tone.colour());
            shape.set_margin(4, 4, 0, 0);
            chart.draw_series([shape])?;
            let end = (bar.length, SegmentValue::CenterOf(at));
            chart.draw_series([EmptyElement::at(end) + Text::new(bar.said.clone(), (6, 0), at_end.clone())])?;
        }
        Ok(())
    })
}

/// Upwards from the last.
fn bar_at(bars: &[Bar], count: i32, at: i32) -> Option<&Bar> {
    bars.get(usize::try_from(count - 1 - at).ok()?)
}

fn cut(name: &str) -> String {
    if name.chars().count() <= LONGEST_NAME {
        return name.to_owned();
    }
    name.chars().take(LONGEST_NAME - 1).chain(['…']).collect()
}

fn drawn(height: u32, draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Drawn) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
    let done = draw(&area).and_then(|()| area.present());
    drop(area);
    if let Err(error) = done {
        tracing::error!(%error, "a chart cannot be drawn");
        return String::new();
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, length: f64) -> Bar {
        Bar { name: name.to_owned(), length, said: length.to_string(), tone: Tone::Plain }
    }

    #[test]
    fn what_is_drawn_keeps_to_the_pages_policy() {
        let evil = "\"><script>alert(1)</script>'&";
        let days: Vec<_> = (0..30).map(|i| (format!("01-{i:02}{evil}"), [(i, Tone::Good), (1, Tone::Bad)])).collect();
        for svg in
            [columns(&days), bars(&[bar(evil, 3.0), bar("a", 0.0)]), columns(&[]), bars(&[]), bars(&[bar("a", 1.0)])]
        {
            assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(!svg.contains("style") && !svg.contains("<script") && !svg.contains("href"), "{svg}");
            for colour in svg.split(['"']).filter(|value| value.starts_with('#')) {
                assert!(
                    colour.starts_with("#0") && "12345".contains(&colour[2..3]),
                    "{colour} is none of the stylesheet's"
                );
            }
        }
    }

    #[test]
    fn a_bar_is_as_long_as_its_figure_and_the_first_is_on_top() {
        let svg = bars(&[bar("first", 10.0), bar("second", 5.0)]);
        let widths: Vec<i32> = svg.split("<rect").skip(1).map(|rect| attribute(rect, "width")).collect();
        assert!(
            widths.len() == 2 && (widths[0] - 2 * widths[1]).abs() <= 2 || (widths[1] - 2 * widths[0]).abs() <= 2,
            "{widths:?}"
        );
        assert!(svg.find("first").is_some() && svg.contains("second"));
        let (first, second) = (text_y(&svg, "first"), text_y(&svg, "second"));
        assert!(first < second, "{first} {second}");
        assert!(bars(&[bar(&"n".repeat(40), 1.0)]).contains(&format!("{}…", "n".repeat(27))));
    }

    fn attribute(tag: &str, name: &str) -> i32 {
        tag.split_once(&format!("{name}=\"")).unwrap().1.split('"').next().unwrap().parse().unwrap()
    }

    fn text_y(svg: &str, text: &str) -> i32 {
        let before = &svg[..svg.find(text).unwrap()];
        attribute(&before[before.rfind("<text").unwrap()..], "y")
    }
}
