//! Recognising Helm templates, which are no YAML even where they happen to parse as YAML.

/// Objects that exist only while Helm renders.
const OBJECTS: &[&str] = &[
    ".Values",
    ".Release",
    ".Chart",
    ".Capabilities",
    ".Template.",
    ".Files.",
];
/// Words that begin an action.
const ACTIONS: &[&str] = &[
    "if", "else", "end", "range", "with", "define", "template", "block", "include", "tpl",
    "toYaml", "fail", "required", "lookup", "printf", "/*", "$",
];

/// Whether the text holds a template action at all; used to explain a parse error.
pub fn mentions_template(text: &str) -> bool {
    text.contains("{{")
}

/// Why the text is a Helm template, if it is one.
///
/// Templates that are data are none: Argo CD's ApplicationSets, alert rules, values for `tpl`.
pub fn template_reason(text: &str) -> Option<String> {
    if !text.contains("{{") {
        return None;
    }
    let manifest = has_root_key(text, "kind:") && has_root_key(text, "apiVersion:");
    for (number, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some(at) = rest.find("{{") {
            let lead = rest[..at].trim();
            let body = rest[at + 2..].trim_start_matches('-').trim_start();
            let inner = &body[..body.find("}}").unwrap_or(body.len())];
            let word = inner.split([' ', '(', '}']).next().unwrap_or("");
            let object = OBJECTS.iter().any(|o| inner.contains(o));
            // An action that begins its line at top level cannot be inside a value.
            let bare = lead.is_empty() && !line.starts_with(' ') && ACTIONS.contains(&word);
            if bare || (manifest && (object || is_include(inner))) {
                return Some(format!(
                    "line {} is part of a Helm template: edit the chart's values instead",
                    number + 1
                ));
            }
            rest = &rest[at + 2..];
        }
    }
    None
}

fn is_include(inner: &str) -> bool {
    let inner = inner.trim();
    inner.starts_with("include \"") || inner.starts_with("template \"")
}

fn has_root_key(text: &str, key: &str) -> bool {
    text.lines().any(|l| l.starts_with(key))
}
