//! What is said of what happens beside the walk: what others do, and what nobody watches.

use super::{ahead::happens, *};
use trueup_core::{event::Event, transcript::sample, workflow::Next};

#[test]
fn a_gate_that_the_walk_went_back_from_is_said_not_to_be_watched() {
    for size in [(80, 24), (120, 40)] {
        let mut model = fixture::model(Point::Gate, size);
        let said = "gate no-401 after profile-service is not watched meanwhile";
        assert!(!draw(&model).contains(said), "{}", draw(&model));
        let application = sample::app("auth");
        let why = "our note is gone".to_owned();
        let next = |next: Next| Update::Next(Box::new(next));
        let lost = Next::Refreeze { application, why };
        fixture::tell(&mut model, next(lost));
        assert!(draw(&model).contains(said), "{}", draw(&model));
        let cells = vec![fixture::cell("auth", 0)];
        fixture::tell(&mut model, next(Next::Decide { cells, fields: 1 }));
        assert!(draw(&model).contains(said), "{}", draw(&model));
    }
}

#[test]
fn what_others_do_to_an_undecided_field_is_said_there_and_back() {
    let mut model = fixture::model(Point::Gate, (120, 40));
    let strayed = sample::records().into_iter().filter(|record| {
        matches!(
            record.event,
            Event::Strayed { .. } | Event::StrayedBack { .. }
        )
    });
    for (record, said) in strayed.zip(["somebody changed a field: ", "live is 3 again"]) {
        happens(&mut model, record.event);
        let toasts: Vec<&str> = model.toasts.iter().map(|t| t.text.as_str()).collect();
        let told = |text: &&str| text.contains(said) && text.ends_with("(by kubectl-patch)");
        assert!(toasts.iter().any(told), "{said}: {toasts:?}");
    }
}
