//! Conditions that are not known: both ways are followed.

use super::field::{Field, Value};
use super::script::{DEPTH_MAX, Flow, LAUNCHES_MAX, Script};

impl Script<'_> {
    /// Follows two ways, one of which is taken.
    pub(super) fn either(
        &mut self,
        one: impl FnOnce(&mut Self) -> Flow,
        other: impl FnOnce(&mut Self) -> Flow,
    ) -> Flow {
        if !self.tracer.keeps(self.depth < DEPTH_MAX) {
            return Flow::End;
        }
        self.depth += 1;
        let mut second = self.clone();
        let first_flow = one(self);
        second.launches = std::mem::take(&mut self.launches);
        let second_flow = other(&mut second);
        self.launches = std::mem::take(&mut second.launches);
        self.may_have_returned |= second.may_have_returned;
        self.depth -= 1;
        let goes_on = |flow| matches!(flow, Flow::Next(_));
        let returned = |flow| matches!(flow, Flow::Return(_));
        match (goes_on(first_flow), goes_on(second_flow)) {
            (true, true) => {
                self.merge(second);
                Flow::Next(None)
            }
            (true, false) => {
                self.may_have_returned |= returned(second_flow);
                Flow::Next(None)
            }
            (false, true) => {
                let launches = std::mem::take(&mut self.launches);
                let may_have_returned = self.may_have_returned || returned(first_flow);
                *self = Self { launches, may_have_returned, depth: self.depth, ..second };
                Flow::Next(None)
            }
            (false, false) if returned(first_flow) || returned(second_flow) => {
                Flow::Return(if first_flow == second_flow { status_of(first_flow) } else { None })
            }
            (false, false) => second_flow,
        }
    }

    /// What differs is not known.
    fn merge(&mut self, other: Self) {
        for (name, value) in &other.environment.variables {
            if self.environment.variables.get(name) != Some(value) {
                self.environment.variables.insert(name.clone(), Value::Unknown);
            }
        }
        for (name, value) in &mut self.environment.variables {
            if !other.environment.variables.contains_key(name) {
                *value = Value::Unknown;
            }
        }
        if self.environment.cwd != other.environment.cwd {
            self.environment.cwd = None;
        }
        if self.parameters != other.parameters {
            self.parameters = vec![Field::Many];
        }
        self.functions.extend(other.functions);
        for launch in other.last {
            if !self.last.contains(&launch) && self.tracer.keeps(self.last.len() < LAUNCHES_MAX) {
                self.last.push(launch);
            }
        }
    }
}

fn status_of(flow: Flow) -> Option<bool> {
    match flow {
        Flow::Next(status) | Flow::Return(status) => status,
        _ => None,
    }
}
