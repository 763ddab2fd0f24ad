//! The screen in ASCII alone, cell by cell, for terminals that show nothing else.

use ratatui::buffer::Buffer;

/// What stands for a sign. Letters of other alphabets have none.
fn plain(sign: &str) -> &'static str {
    match sign {
        "─" | "–" | "—" => "-",
        "│" | "▏" => "|",
        "┌" | "┐" | "└" | "┘" | "├" | "┤" | "┬" | "┴" | "┼" => "+",
        // A group that is open, and one that is not.
        "▾" => "-",
        "▹" => "+",
        "▸" | "▶" | "→" | "≥" | "›" => ">",
        "←" | "≤" | "⏎" => "<",
        "↑" | "▴" => "^",
        "↓" | "✓" => "v",
        "✗" | "×" => "x",
        "●" | "★" | "█" => "*",
        "○" | "◌" => "o",
        "·" | "░" => ".",
        "…" => "~",
        "≠" => "#",
        "↺" => "@",
        "∈" => "e",
        "▁" => "_",
        "▂" => "2",
        "▃" => "3",
        "▄" => "4",
        "▅" => "5",
        "▆" => "6",
        "▇" => "7",
        _ => "?",
    }
}

/// Puts ASCII for whatever is not.
pub fn only(buf: &mut Buffer) {
    for cell in &mut buf.content {
        if !cell.symbol().is_ascii() {
            let sign = plain(cell.symbol());
            cell.set_symbol(sign);
        }
    }
}
