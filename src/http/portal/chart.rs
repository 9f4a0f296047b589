//! Charts as SVG: shapes with presentation attributes, so that the page's policy holds, in colours that are names. The
//! stylesheet (`assets/audit.css`) knows each of them and gives it the one of the theme; every chart stands beside a table of
//! its figures.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// Texts and axes.
const INK: RGBColor = RGBColor(1, 1, 1);
/// Lines behind the bars.
const GRID: RGBColor = RGBColor(2, 2, 2);
/// As wide as a page, in pixels: texts are as large as they are drawn.
pub(super) const WIDE: u32 = 1000;
/// As wide as half a page.
pub(super) const HALF: u32 = 500;
/// As wide as a telephone: each chart is drawn for that once more, and the stylesheet shows one of the two.
const NARROW: u32 = 280;
/// Of 13 pixels, as `plotters` counts.
const FONT: (&str, i32) = ("sans-serif", 16);
/// How wide a letter is taken to be.
const LETTER: u32 = 7;

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
    [(WIDE, 7), (NARROW, 3)].map(|(width, labels)| columns_in(width, labels, days)).concat()
}

fn columns_in(width: u32, labels: usize, days: &[(String, [(i64, Tone); 2])]) -> String {
    // `plotters` counts with overflow where there is no range.
    if days.is_empty() {
        return String::new();
    }
    drawn((width, 240), |area| {
        let count = i32::try_from(days.len()).unwrap_or(i32::MAX);
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
            .x_labels(labels)
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

/// One lying bar for each name, the first on top: where there is room with the names beside them, else above.
pub(super) fn bars(width: u32, bars: &[Bar]) -> String {
    bars_beside(width, bars) + &bars_below(bars)
}

fn bars_beside(width: u32, bars: &[Bar]) -> String {
    let names = width * 2 / 5;
    let longest = usize::try_from(names / LETTER).unwrap_or(usize::MAX);
    let count = u32::try_from(bars.len()).unwrap_or(u32::MAX);
    drawn((width, 16 + 26 * count), |area| {
        let mut builder = ChartBuilder::on(area);
        builder.margin(8).margin_left(i32::try_from(names).unwrap_or_default());
        let mut chart = builder.build_cartesian_2d(0.0..most(bars) * 1.25, 0.0..f64::from(count.max(1)))?;
        for (bar, above) in bars.iter().zip((0..count).rev().map(f64::from)) {
            let ends = [(0.0, above + 0.15), (bar.length, above + 0.85)];
            chart.draw_series([Rectangle::new(ends, bar.tone.colour())])?;
            let name = Text::new(cut(&bar.name, longest), (-8, 0), text(HPos::Right));
            chart.draw_series([EmptyElement::at((0.0, above + 0.5)) + name])?;
            let said = Text::new(bar.said.clone(), (6, 0), text(HPos::Left));
            chart.draw_series([EmptyElement::at((bar.length, above + 0.5)) + said])?;
        }
        Ok(())
    })
}

fn bars_below(bars: &[Bar]) -> String {
    let longest = usize::try_from(NARROW / (LETTER + 1)).unwrap_or(usize::MAX);
    let count = u32::try_from(bars.len()).unwrap_or(u32::MAX);
    drawn((NARROW, 48 * count), |area| {
        let mut chart =
            ChartBuilder::on(area).build_cartesian_2d(0.0..most(bars) * 1.5, 0.0..f64::from(count.max(1)))?;
        for (bar, above) in bars.iter().zip((0..count).rev().map(f64::from)) {
            let ends = [(0.0, above + 0.15), (bar.length, above + 0.5)];
            chart.draw_series([Rectangle::new(ends, bar.tone.colour())])?;
            let name = Text::new(cut(&bar.name, longest), (0, 0), text(HPos::Left));
            chart.draw_series([EmptyElement::at((0.0, above + 0.75)) + name])?;
            let said = Text::new(bar.said.clone(), (6, 0), text(HPos::Left));
            chart.draw_series([EmptyElement::at((bar.length, above + 0.32)) + said])?;
        }
        Ok(())
    })
}

/// The longest, which leaves room for what stands at its end.
fn most(bars: &[Bar]) -> f64 {
    bars.iter().map(|bar| bar.length).fold(1.0, f64::max)
}

fn text(side: HPos) -> TextStyle<'static> {
    TextStyle::from(FONT.into_font()).color(&INK).pos(Pos::new(side, VPos::Center))
}

fn cut(name: &str, longest: usize) -> String {
    if name.chars().count() <= longest {
        return name.to_owned();
    }
    name.chars().take(longest - 1).chain(['…']).collect()
}

fn drawn(size: (u32, u32), draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> Drawn) -> String {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
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
        for svg in [
            columns(&days),
            bars(HALF, &[bar(evil, 3.0), bar("a", 0.0)]),
            bars(HALF, &[]),
            bars(HALF, &[bar("a", 1.0)]),
        ] {
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
        let two = [bar("first", 10.0), bar("second", 5.0)];
        for svg in [bars_beside(HALF, &two), bars_below(&two)] {
            let widths: Vec<i32> = svg.split("<rect").skip(1).map(|rect| attribute(rect, "width")).collect();
            let [long, short] = widths[..] else { panic!("{widths:?}") };
            assert!((long - 2 * short).abs() <= 2, "{widths:?}");
            let (first, second) = (text_y(&svg, "first"), text_y(&svg, "second"));
            assert!(first < second, "{first} {second}");
        }
    }

    #[test]
    fn a_long_name_is_cut_where_its_room_ends() {
        let long = [bar(&"n".repeat(60), 1.0)];
        for (svg, kept) in [(bars_beside(HALF, &long), 27), (bars_below(&long), 34)] {
            assert!(svg.contains(&format!("{}…", "n".repeat(kept))), "{svg}");
            assert!(!svg.contains(&"n".repeat(kept + 1)), "{svg}");
        }
    }

    fn attribute(tag: &str, name: &str) -> i32 {
        tag.split_once(&format!("{name}=\"")).unwrap().1.split('"').next().unwrap().parse().unwrap()
    }

    fn text_y(svg: &str, text: &str) -> i32 {
        let before = &svg[..svg.find(text).unwrap()];
        attribute(&before[before.rfind("<text").unwrap()..], "y")
    }
}
