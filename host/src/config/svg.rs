//! A drawing of a pipeline as SVG: layout by `layout-rs`, one panel for each sub-topology, from left to right.
//!
//! Each panel has its own copy of the topics that it reads and writes, so panels are joined by names and not by lines across
//! the page. The same drawing gives the same text every time.

use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::format::{ClipHandle, RenderBackend};
use layout::core::geometry::Point;
use layout::core::style::{LineStyleKind, StyleAttr};
use layout::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind as Form};
use layout::topo::layout::VisualGraph;
use millstream_core::topology::describe::{Drawing, Frame, ShapeKind};

/// Boxes stand close together in their columns. The library's finer placement moves labels past each other and then fails an
/// assertion of its own, on graphs as common as a step with both late records and dead letters.
const PLAIN_PLACEMENT: bool = true;
/// Colour behind what a panel shows.
const PANEL_COLOUR: &str = "#f6f8fa";
/// Height of letters, pixels.
const FONT_PIXELS: usize = 14;
/// Width of a letter, in heights: sans-serif letters are about this wide on average, and boxes have room to spare.
const LETTER_WIDTH: f64 = 0.6;
/// Height of a line, in heights of letters.
const LINE_HEIGHT: f64 = 1.25;
/// Space inside a box and around a panel, pixels.
const PADDING_PIXELS: f64 = 20.0;
/// Height of a panel's title, pixels.
const TITLE_PIXELS: f64 = 30.0;

/// The drawing as a document.
pub fn svg(drawing: &Drawing) -> String {
    let mut body = String::new();
    let (mut width, mut height) = (0.0_f64, PADDING_PIXELS);
    // A repartition topic that nothing reads makes a sub-topology of nothing.
    for frame in drawing.frames.iter().filter(|frame| !frame.shapes.is_empty()) {
        let (panel, size) = panel(drawing, frame);
        let (x, y) = (PADDING_PIXELS, height);
        body += &format!("<g transform=\"translate({x:.1} {y:.1})\">\n{panel}</g>\n");
        width = width.max(size.x + 2.0 * PADDING_PIXELS);
        height += size.y + PADDING_PIXELS;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"{FONT_PIXELS}\">\n\
         <defs><marker id=\"arrow\" markerWidth=\"8\" markerHeight=\"6\" refX=\"8\" refY=\"3\" orient=\"auto\">\
         <path d=\"M0 0 8 3 0 6z\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

/// A frame with its title and what is in it; its size.
fn panel(drawing: &Drawing, frame: &Frame) -> (String, Point) {
    let inside = |shape: &usize| frame.shapes.contains(shape);
    let mut arrows: Vec<_> = drawing.arrows.iter().filter(|a| inside(&a.from) || inside(&a.to)).collect();
    // A repartition topic has its writer in one panel and its readers in another.
    arrows.retain(|a| a.from != a.to);
    let mut shapes: Vec<usize> =
        frame.shapes.iter().copied().chain(arrows.iter().flat_map(|a| [a.from, a.to])).collect();
    shapes.sort_unstable();
    shapes.dedup();
    let mut graph = VisualGraph::new(Orientation::LeftToRight);
    let handles: Vec<_> = shapes.iter().map(|shape| graph.add_node(element(drawing, *shape))).collect();
    let place = |shape: usize| shapes.iter().position(|s| *s == shape).map(|at| handles[at]);
    let mut drawn: Vec<(usize, usize, &str)> = Vec::new();
    for arrow in arrows {
        let same = (arrow.from, arrow.to, arrow.label.as_str());
        if let (Some(from), Some(to), false) = (place(arrow.from), place(arrow.to), drawn.contains(&same)) {
            let style = if arrow.dashed { LineStyleKind::Dashed } else { LineStyleKind::Normal };
            let look = look(Color::transparent(), 0);
            let line = Arrow::new(LineEndKind::None, LineEndKind::Arrow, style, &arrow.label, &look, &None, &None);
            graph.add_edge(line, from, to);
            drawn.push(same);
        }
    }
    let mut canvas = Canvas::default();
    graph.do_it(false, false, PLAIN_PLACEMENT, &mut canvas);
    let size = Point::new(canvas.size.x + PADDING_PIXELS, canvas.size.y + TITLE_PIXELS + PADDING_PIXELS);
    let title = format!(
        "<rect width=\"{:.1}\" height=\"{:.1}\" rx=\"6\" fill=\"{PANEL_COLOUR}\" stroke=\"#8c959f\"/>\n\
         <text x=\"{PADDING_PIXELS:.1}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>\n",
        size.x,
        size.y,
        TITLE_PIXELS - 8.0,
        escaped(&frame.title)
    );
    (
        format!("{title}<g transform=\"translate(0 {TITLE_PIXELS:.1})\">\n{}{}</g>\n", canvas.content, canvas.labels),
        size,
    )
}

fn element(drawing: &Drawing, shape: usize) -> Element {
    let shape = &drawing.shapes[shape];
    let letters = shape.lines.iter().map(|l| l.chars().count()).max().unwrap_or(0) as f64;
    let lines = shape.lines.len() as f64;
    let font = FONT_PIXELS as f64;
    let size = Point::new(
        letters.mul_add(font * LETTER_WIDTH, PADDING_PIXELS),
        lines.mul_add(font * LINE_HEIGHT, PADDING_PIXELS),
    );
    let look = match shape.kind {
        ShapeKind::Topic => look(Color::new(0xdd_f4_ff_ff), 18),
        ShapeKind::Internal => look(Color::new(0xea_ee_f2_ff), 18),
        ShapeKind::Step => look(Color::new(0xff_ff_ff_ff), 4),
        ShapeKind::Store => look(Color::new(0xff_f8_c5_ff), 0),
    };
    Element::create(Form::new_box(&shape.lines.join("\n")), look, Orientation::LeftToRight, size)
}

fn look(fill: Color, rounded: usize) -> StyleAttr {
    StyleAttr::new(Color::new(0x24_29_2f_ff), 1, Some(fill), rounded, FONT_PIXELS)
}

/// Draws what the layout asks for; only boxes, text and arrows are ever asked for here.
struct Canvas {
    content: String,
    /// Texts of arrows: they stand above everything else.
    labels: String,
    size: Point,
}

impl Default for Canvas {
    fn default() -> Self {
        Self { content: String::new(), labels: String::new(), size: Point::zero() }
    }
}

impl Canvas {
    fn grow(&mut self, x: f64, y: f64) {
        self.size = Point::new(self.size.x.max(x), self.size.y.max(y));
    }
}

impl RenderBackend for Canvas {
    fn draw_rect(&mut self, xy: Point, size: Point, look: &StyleAttr, _: Option<String>, _: Option<ClipHandle>) {
        self.grow(xy.x + size.x, xy.y + size.y);
        let fill = colour(look.fill_color.unwrap_or_else(Color::transparent));
        self.content += &format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"{}\" fill=\"{fill}\" stroke=\"{}\"/>\n",
            xy.x,
            xy.y,
            size.x,
            size.y,
            look.rounded,
            colour(look.line_color)
        );
    }

    fn draw_line(&mut self, start: Point, stop: Point, look: &StyleAttr, _: Option<String>) {
        self.content += &format!(
            "<path d=\"M{:.1} {:.1} {:.1} {:.1}\" stroke=\"{}\"/>\n",
            start.x,
            start.y,
            stop.x,
            stop.y,
            colour(look.line_color)
        );
    }

    fn draw_circle(&mut self, xy: Point, size: Point, look: &StyleAttr, _: Option<String>) {
        self.content += &format!(
            "<ellipse cx=\"{:.1}\" cy=\"{:.1}\" rx=\"{:.1}\" ry=\"{:.1}\" fill=\"none\" stroke=\"{}\"/>\n",
            xy.x,
            xy.y,
            size.x / 2.0,
            size.y / 2.0,
            colour(look.line_color)
        );
    }

    fn draw_text(&mut self, xy: Point, text: &str, _: &StyleAttr) {
        let line_height = FONT_PIXELS as f64 * LINE_HEIGHT;
        let lines: Vec<&str> = text.lines().collect();
        // Every box has a second line, so this is an arrow's text; the arrow leaves room for it.
        if let [label] = lines.as_slice() {
            self.labels += &format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" dominant-baseline=\"central\" \
                 stroke=\"{PANEL_COLOUR}\" stroke-width=\"6\" paint-order=\"stroke\">{}</text>\n",
                xy.x,
                xy.y,
                escaped(label)
            );
            return;
        }
        let first = (1.0 - lines.len() as f64).mul_add(line_height / 2.0, xy.y);
        for (i, line) in lines.iter().enumerate() {
            let weight = if i == 0 { " font-weight=\"bold\"" } else { "" };
            self.content += &format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" dominant-baseline=\"central\"{weight}>{}</text>\n",
                xy.x,
                (i as f64).mul_add(line_height, first),
                escaped(line)
            );
        }
    }

    fn draw_arrow(
        &mut self,
        path: &[(Point, Point)],
        dashed: bool,
        head: (bool, bool),
        look: &StyleAttr,
        _: Option<String>,
        _: &str,
    ) {
        let [first, second, rest @ ..] = path else { return };
        path.iter().for_each(|(point, _)| self.grow(point.x, point.y));
        let at = |point: &Point| format!("{:.1} {:.1}", point.x, point.y);
        let mut curve = format!("M{} C{},{},{}", at(&first.0), at(&first.1), at(&second.0), at(&second.1));
        rest.iter().for_each(|(point, control)| curve += &format!(" S{},{}", at(point), at(control)));
        let dash = if dashed { " stroke-dasharray=\"4 4\"" } else { "" };
        let start = if head.0 { " marker-start=\"url(#arrow)\"" } else { "" };
        let end = if head.1 { " marker-end=\"url(#arrow)\"" } else { "" };
        let stroke = colour(look.line_color);
        self.content += &format!("<path d=\"{curve}\" fill=\"none\" stroke=\"{stroke}\"{dash}{start}{end}/>\n");
    }

    fn create_clip(&mut self, _: Point, _: Point, _: usize) -> ClipHandle {
        0
    }
}

/// Red, green, blue; what is transparent is never filled with a colour here.
fn colour(colour: Color) -> String {
    colour.to_web_color().chars().take("#rrggbb".len()).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
    }
}
