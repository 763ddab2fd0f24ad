//! A program that dies on its own screen, for the test of what it leaves behind in the terminal.

use std::io::BufRead;

use trueup::tui::terminal::Guard;

fn main() {
    let mut guard = Guard::enter(true).expect("there is a terminal");
    guard
        .draw(|frame| frame.render_widget("about to panic", frame.area()))
        .expect("it can be drawn on");
    // In raw mode a key is no line: the next line never comes, the end of the input or a byte does.
    let mut first = std::io::stdin().lock();
    let _ = first.fill_buf();
    panic!("on purpose");
}
