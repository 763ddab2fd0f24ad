//! Gates that are added, changed or taken away on the screen.

use super::{
    super::{
        model::{
            Model,
            dialog::{Ask, Choice, Choose, Field, Pick, Prompt},
        },
        theme::Role,
    },
    offers,
};
use trueup_core::{
    plan::{Gate, MeasuredGate, PrometheusGate},
    rules,
    sheet::Command,
    span::Span,
};

pub fn offer(model: &mut Model) {
    let mut choices = vec![
        Choice::new(
            "a metric",
            "value, comparison, traffic with a floor, time to stay green",
            Pick::Prompt(Ask::MetricGate { of: None }),
        ),
        Choice::new(
            "a manual look",
            "who looked, what they saw",
            Pick::Prompt(Ask::ManualGate),
        ),
    ];
    let refused = |command: &Command| {
        let refusal = rules::check(model.run(), model.now(), command).err();
        refusal.map(|refusal| refusal.reason)
    };
    for (name, gate) in &model.run().gates {
        choices.extend(change(model, name));
        let reason = "to be said".to_owned();
        let command = Command::RemoveGate {
            name: name.clone(),
            reason,
        };
        choices.push(
            Choice::new(
                format!("take away {name}"),
                format!("nothing waits for it any more: {}", gate.asks()),
                Pick::Prompt(Ask::RemoveGate { name: name.clone() }),
            )
            .off_if(refused(&command)),
        );
    }
    for (name, away) in &model.run().removed_gates {
        choices.push(Choice::new(
            format!("put back {name}"),
            format!("taken away by {}: {}", away.by, away.why),
            Pick::Ask(Command::AddGate {
                name: name.clone(),
                spec: away.spec.clone(),
            }),
        ));
    }
    let list = Choose::new("add a gate, or take one away", choices).note(
        Role::Dim,
        "a gate added under a name that is there takes its place, and begins anew",
    );
    offers::offer(model, list);
}

/// To have a gate ask something else, where nothing rests on what it said: the form for a metric, filled in.
pub fn change(model: &Model, name: &str) -> Option<Choice> {
    let Some(Gate::Measured(gate)) = model.run().gates.get(name) else {
        return None;
    };
    gate.prometheus.as_ref()?;
    let settled = model
        .run()
        .walking()
        .find_map(|(key, _)| model.run().gate_settled(key, name));
    let of = Some(name.to_owned());
    let choice = Choice::new(
        format!("change {name}"),
        "where it asks the wrong thing; it is judged anew, and what it asked before stays on the screen",
        Pick::Prompt(Ask::MetricGate { of }),
    );
    Some(choice.off_if(settled.map(|how| format!("{how} already"))))
}

pub fn form(model: &Model, ask: Ask, of: Option<&str>) -> Prompt {
    let gate = of.and_then(|name| model.run().gates.get(name));
    let gate = match gate {
        Some(Gate::Measured(gate)) => gate.clone(),
        _ => MeasuredGate::default(),
    };
    let span = |span: Option<Span>, otherwise: &str| {
        span.map_or_else(|| otherwise.to_owned(), |span| span.to_string())
    };
    let metric = gate.prometheus.unwrap_or_else(|| PrometheusGate {
        value: String::new(),
        is: "== 0".into(),
        traffic: None,
        floor: None,
    });
    let floor = metric.floor.map(|floor| floor.to_string());
    Prompt::new(
        ask,
        of.map_or_else(
            || "a metric gate".to_owned(),
            |name| format!("change gate {name}"),
        ),
        vec![
            Field::new("name", of.unwrap_or_default()),
            Field::new("value query", &metric.value),
            Field::new("is", &metric.is),
            Field::new("traffic query", &metric.traffic.unwrap_or_default()).optional(),
            Field::new("floor", &floor.unwrap_or_default()).optional(),
            Field::new("for", &span(gate.hold, "10m")),
            Field::new("every", &span(gate.every, "5s")),
        ],
    )
    .note(Role::Dim, "is: == 0, <= 0.05, <= baseline * 1.1")
}

/// `of`: the gate that it was filled in from; what the form does not ask stays as it is.
pub fn filled_in(model: &Model, of: Option<&str>, prompt: &Prompt) -> Result<Command, String> {
    let get = |label: &str| prompt.get(label);
    let like = match of.and_then(|name| model.run().gates.get(name)) {
        Some(Gate::Measured(gate)) => gate.clone(),
        _ => MeasuredGate::default(),
    };
    let some = |text: String| (!text.is_empty()).then_some(text);
    get("is")
        .parse::<trueup_core::gate::Comparison>()
        .map_err(|e| e.to_string())?;
    let span = |label: &str| -> Result<trueup_core::span::Span, String> {
        get(label).parse().map_err(|e| format!("{label}: {e}"))
    };
    let floor = match some(get("floor")) {
        None => None,
        Some(text) => Some(
            text.parse::<f64>()
                .ok()
                .filter(|n| n.is_finite())
                .ok_or("floor: write a number")?,
        ),
    };
    Ok(Command::AddGate {
        name: get("name"),
        spec: Gate::Measured(MeasuredGate {
            prometheus: Some(PrometheusGate {
                value: get("value query"),
                is: get("is"),
                traffic: some(get("traffic query")),
                floor,
            }),
            hold: Some(span("for")?),
            every: Some(span("every")?),
            ..like
        }),
    })
}
