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

/// Whether an unquoted value is made of an action: text for Helm, not for a YAML reader.
pub fn is_templated_plain(value: &str) -> bool {
    value.find("{{").is_some_and(|at| {
        let inner = value[at + 2..].trim_start_matches('-');
        OBJECTS.iter().any(|o| inner.contains(o)) || is_include(inner)
    })
}

fn is_include(inner: &str) -> bool {
    let inner = inner.trim();
    inner.starts_with("include \"") || inner.starts_with("template \"")
}

fn has_root_key(text: &str, key: &str) -> bool {
    text.lines().any(|l| l.starts_with(key))
}

#[cfg(test)]
mod tests {
    use super::super::edit::edit;
    use super::super::ops::parse_ops;

    /// Templates are refused; data that only looks like one is edited.
    #[test]
    fn templates_are_told_from_data() {
        let manifest = "apiVersion: v1\nkind: ConfigMap\n";
        for (text, refused) in [
            (
                format!("{manifest}metadata:\n  name: {{{{ include \"x\" . }}}}\nx: 1\n"),
                true,
            ),
            (
                format!("{manifest}metadata:\n  name: \"{{{{ .Release.Name }}}}\"\nx: 1\n"),
                true,
            ),
            ("name: a-{{ .Values.b }}\nx: 1\n".to_owned(), true),
            ("{{- if .Values.a }}\nx: 1\n{{- end }}\n".to_owned(), true),
            (
                "labels:\n  {{- toYaml .Values.labels | nindent 2 }}\nx: 1\n".to_owned(),
                true,
            ),
            (
                "host: \"{{ .Values.global.host }}\"\nx: 1\n".to_owned(),
                false,
            ),
            ("name: '{{path.basename}}'\nx: 1\n".to_owned(), false),
            (
                format!(
                    "{manifest}data:\n  t: |\n    {{{{ range .Alerts }}}}{{{{ end }}}}\nx: 1\n"
                ),
                false,
            ),
        ] {
            let ops = parse_ops(r#"{"path": ["x"], "op": "set", "value": 2}"#).unwrap();
            assert_eq!(edit(text.as_bytes(), &ops).is_err(), refused, "{text}");
        }
    }
}
