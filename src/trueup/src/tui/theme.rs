//! Style names and what they look like in each theme. Call sites name a role, never a colour.

use ratatui::style::{Color, Modifier, Style};

/// Which palette.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThemeName {
    #[default]
    Dark,
    Light,
    /// Few colours, far apart, told apart by people who do not see red and green as different.
    HighContrast,
}

impl ThemeName {
    /// What `COLORFGBG` says of the background, as many terminals set it: `foreground;background`, numbers of the palette.
    pub fn of_background(colours: &str) -> Option<Self> {
        let background: u8 = colours.rsplit(';').next()?.parse().ok()?;
        match background {
            7 | 9..=15 => Some(Self::Light),
            0..=6 | 8 => Some(Self::Dark),
            _ => None,
        }
    }
}

impl std::str::FromStr for ThemeName {
    type Err = UnknownTheme;
    fn from_str(text: &str) -> Result<Self, UnknownTheme> {
        match text {
            "dark" => Ok(Self::Dark),
            "light" => Ok(Self::Light),
            "high-contrast" | "colour-blind" | "color-blind" => Ok(Self::HighContrast),
            other => Err(UnknownTheme(trueup_core::text::line(other))),
        }
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no theme: choose dark, light or high-contrast")]
pub struct UnknownTheme(String);

/// What a piece of text is, as far as its looks depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Role {
    #[default]
    Text,
    Dim,
    Strong,
    Border,
    Focus,
    Title,
    Cursor,
    Good,
    Bad,
    Warn,
    Info,
    Added,
    Removed,
    Key,
    Here,
    Bar,
    Armed,
}

/// A palette, with or without colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    pub name: ThemeName,
    pub no_color: bool,
    /// Nothing but ASCII is drawn.
    pub ascii: bool,
}

impl Theme {
    /// What a role looks like. Without colour only bold, dim, underline and reverse are used.
    pub fn style(self, role: Role) -> Style {
        let plain = Style::new();
        let base = match role {
            Role::Text | Role::Border | Role::Info | Role::Added | Role::Removed => plain,
            Role::Dim => plain.add_modifier(Modifier::DIM),
            Role::Strong | Role::Title | Role::Focus | Role::Key | Role::Good | Role::Warn => {
                plain.add_modifier(Modifier::BOLD)
            }
            Role::Bad | Role::Armed => plain.add_modifier(Modifier::BOLD),
            Role::Cursor | Role::Here => plain.add_modifier(Modifier::REVERSED),
            Role::Bar => plain,
        };
        if self.no_color {
            return base;
        }
        match self.colour(role) {
            Some((Some(fg), Some(bg))) => base.remove_modifier(Modifier::REVERSED).fg(fg).bg(bg),
            Some((Some(fg), None)) => base.fg(fg),
            Some((None, Some(bg))) => base.remove_modifier(Modifier::REVERSED).bg(bg),
            _ => base,
        }
    }

    fn colour(self, role: Role) -> Option<(Option<Color>, Option<Color>)> {
        let fg = |c| Some((Some(c), None));
        match (self.name, role) {
            (_, Role::Text | Role::Strong) => None,
            (ThemeName::HighContrast, role) => match role {
                Role::Good | Role::Added => fg(Color::LightCyan),
                Role::Bad | Role::Removed | Role::Armed => fg(Color::LightYellow),
                Role::Warn | Role::Key => fg(Color::LightYellow),
                Role::Focus | Role::Title => fg(Color::White),
                Role::Dim | Role::Border | Role::Info | Role::Bar => fg(Color::White),
                Role::Cursor | Role::Here => Some((Some(Color::Black), Some(Color::White))),
                _ => None,
            },
            (ThemeName::Light, role) => match role {
                Role::Good | Role::Added => fg(Color::Rgb(0, 110, 40)),
                Role::Bad | Role::Removed => fg(Color::Rgb(180, 0, 30)),
                Role::Armed => Some((Some(Color::White), Some(Color::Rgb(180, 0, 30)))),
                Role::Warn => fg(Color::Rgb(150, 90, 0)),
                Role::Info | Role::Key | Role::Focus => fg(Color::Rgb(0, 80, 170)),
                Role::Title => fg(Color::Rgb(60, 60, 60)),
                Role::Dim | Role::Border => fg(Color::Rgb(110, 110, 110)),
                Role::Bar => Some((Some(Color::Black), Some(Color::Rgb(225, 228, 232)))),
                Role::Cursor => Some((Some(Color::Black), Some(Color::Rgb(200, 215, 240)))),
                Role::Here => Some((Some(Color::White), Some(Color::Rgb(0, 80, 170)))),
                _ => None,
            },
            (ThemeName::Dark, role) => match role {
                Role::Good | Role::Added => fg(Color::Rgb(120, 200, 120)),
                Role::Bad | Role::Removed => fg(Color::Rgb(240, 110, 110)),
                Role::Armed => Some((Some(Color::White), Some(Color::Rgb(160, 30, 40)))),
                Role::Warn => fg(Color::Rgb(230, 180, 80)),
                Role::Info | Role::Key | Role::Focus => fg(Color::Rgb(120, 180, 240)),
                Role::Title => fg(Color::Rgb(200, 200, 210)),
                Role::Dim | Role::Border => fg(Color::Rgb(130, 135, 145)),
                // Its own foreground too: a light terminal may be taken for a dark one.
                Role::Bar => Some((
                    Some(Color::Rgb(230, 232, 235)),
                    Some(Color::Rgb(38, 42, 50)),
                )),
                Role::Cursor => Some((None, Some(Color::Rgb(50, 60, 85)))),
                Role::Here => Some((Some(Color::Black), Some(Color::Rgb(120, 180, 240)))),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_is_read_from_the_environment() {
        for (colours, theme) in [
            ("0;15", Some(ThemeName::Light)),
            ("0;default;7", Some(ThemeName::Light)),
            ("15;0", Some(ThemeName::Dark)),
            ("12;8", Some(ThemeName::Dark)),
            ("0;default", None),
            ("", None),
            ("0;231", None),
        ] {
            assert_eq!(ThemeName::of_background(colours), theme, "{colours}");
        }
    }
}
