//! Whether a version can go on with the states that are stored: those of the version in force, in its layout. How they are brought into
//! another is [`millstream_core::operator::migrate`]'s matter.

use millstream_core::function::Prepared;
use millstream_core::topology::spec::{Operator, Spec, WindowForm};
use millstream_wasm::Layouts;

use super::Fleet;

/// The step that keeps states of a function which cannot be brought into another layout: sessions, slices, or a processor's stores.
pub(super) fn step_with_fixed_layout(spec: &Spec, function: &str) -> Option<String> {
    let fixed = |operator: &Operator| match operator {
        Operator::Process(process) => process.function == function,
        Operator::Aggregate(aggregate) => {
            let form = aggregate.window.map(|window| window.form);
            let adds = aggregate.fold.adders().iter().any(|adder| adder == function);
            matches!(form, Some(WindowForm::Session { .. } | WindowForm::Sliding { .. } | WindowForm::Panes { .. }))
                && (adds || aggregate.fold.function() == Some(function))
        }
        _ => false,
    };
    spec.steps.iter().find(|step| fixed(&step.operator)).map(|step| step.name.clone())
}

/// Why states in the layout `stored` cannot be gone on with.
fn hindrance(stored: u32, new: &Layouts, fixed: Option<&str>) -> Option<String> {
    if stored == new.current {
        return None;
    }
    if let Some(step) = fixed {
        return Some(format!(
            "states of `{step}` are stored in layout {stored}, this version has layout {}, and those of sessions, of windows in slices and of \
             processors stay in theirs: deploy a version with layout {stored}",
            new.current
        ));
    }
    if new.reads.contains(&stored) {
        return None;
    }
    let reads: Vec<String> = new.reads.iter().map(|layout| format!(" and {layout}")).collect();
    Some(format!(
        "states are stored in layout {stored}, and this version reads layout {}{}: deploy one whose `migrator` reads {stored}",
        new.current,
        reads.concat()
    ))
}

impl Fleet {
    /// Whether a version can go on with what the one in force has stored.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn can_go_on(&self, number: usize, prepared: Prepared) -> anyhow::Result<()> {
        let Some(now) = self.prepared(number) else { return Ok(()) };
        let (stored, new) = (self.layout(now), self.registry.layouts(prepared));
        let wanted = &self.functions[number];
        match hindrance(stored, &new, wanted.fixed.as_deref()) {
            Some(why) => anyhow::bail!("function `{}` was refused: {why}", wanted.plan.name),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_what_is_stored_or_says_why_not() {
        let new = |current, reads: &[u32]| Layouts { current, reads: reads.to_vec(), writes: Vec::new() };
        assert_eq!(hindrance(1, &new(1, &[]), Some("s")), None, "the same layout");
        assert_eq!(hindrance(0, &new(1, &[0]), None), None, "it turns it");
        let why = hindrance(3, &new(1, &[0, 2]), None).unwrap();
        assert!(why.contains("layout 3") && why.contains("reads layout 1 and 0 and 2"), "{why}");
        let why = hindrance(0, &new(1, &[0]), Some("s")).unwrap();
        assert!(why.contains("states of `s`"), "{why}");
    }
}
