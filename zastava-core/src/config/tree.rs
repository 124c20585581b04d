//! The tree of settings. Every value knows where it was set.

use super::fault::Origin;

/// A value and where it was set.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The child with that name. Names from variables and flags match in any case.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        let Value::Map(members) = &self.value else { return None };
        let exact = members.iter().find(|(name, _)| name == key);
        let overlaid =
            || members.iter().find(|(name, node)| node.is_overlaid() && name.eq_ignore_ascii_case(key));
        exact.or_else(overlaid).map(|(_, node)| node)
    }

    /// Whether a variable or flag set it. Those do not know the spelling of keys.
    pub(super) fn is_overlaid(&self) -> bool {
        matches!(self.origin, Origin::Environment(_) | Origin::Flag(_))
    }

    pub(super) fn child_or_insert(&mut self, key: &str, origin: &Origin) -> &mut Self {
        if !matches!(self.value, Value::Map(_)) {
            *self = Self { value: Value::Map(Vec::new()), origin: origin.clone() };
        }
        let Value::Map(members) = &mut self.value else { unreachable!("the node was made a map above") };
        let exact = members.iter().position(|(name, _)| name == key);
        let index = exact
            .or_else(|| members.iter().position(|(name, _)| name.eq_ignore_ascii_case(key)))
            .unwrap_or_else(|| {
                members
                    .push((key.to_owned(), Self { value: Value::Map(Vec::new()), origin: origin.clone() }));
                members.len() - 1
            });
        &mut members[index].1
    }

    /// The variable or flag that set something below an unknown key; else the node's own origin.
    pub(super) fn deepest_origin(&self) -> Origin {
        match &self.value {
            Value::Map(members) if self.is_overlaid() => {
                members.first().map_or_else(|| self.origin.clone(), |(_, node)| node.deepest_origin())
            }
            _ => self.origin.clone(),
        }
    }
}
