//! Stores of a sub-topology: which node has which, and what they are called.

use super::{
    AggregateNode, DeduplicateNode, FOREIGN_PARTS, ForeignNode, JoinNode, Node, NodeOperator, RegroupNode, Store,
    StreamJoinNode, SubTopology, TIMERS_STORE, TableNode, TableOf, WaitNode, store_name,
};
use crate::limits::Limits;

impl SubTopology {
    /// Adds the stores of a node.
    pub(super) fn place_stores(&mut self, node: &mut Node) {
        let (first, name) = (self.stores.len(), &node.name);
        let store = |name, windowed| Store { name, windowed, limits: Limits::default() };
        match &mut node.operator {
            NodeOperator::Aggregate(aggregate) => {
                aggregate.store = first;
                self.stores.push(store(name.clone(), aggregate.spec.window.is_some()));
            }
            NodeOperator::Deduplicate(deduplicate) => {
                deduplicate.store = first;
                self.stores.push(store(name.clone(), true));
            }
            NodeOperator::Process(process) => {
                process.store = first;
                let named = process.spec.stores.iter().map(|s| &s.name[..]).chain([TIMERS_STORE]);
                self.stores.extend(named.map(|own| store(store_name(name, own), false)));
            }
            NodeOperator::Table(TableNode { of: TableOf::ForeignKey { .. }, store: at, .. }) => {
                *at = first;
                self.stores.push(store(store_name(name, FOREIGN_PARTS[0]), false));
            }
            NodeOperator::Foreign(
                ForeignNode::Left(JoinNode { store: Some(at), .. }) | ForeignNode::Right { store: at },
            )
            | NodeOperator::Table(TableNode { store: at, .. })
            | NodeOperator::Regroup(RegroupNode { store: at, .. })
            | NodeOperator::StreamJoin(StreamJoinNode { store: at, .. })
            | NodeOperator::Join(
                JoinNode { store: Some(at), .. } | JoinNode { wait: Some(WaitNode { store: at, .. }), .. },
            ) => {
                *at = first;
                self.stores.push(store(name.clone(), false));
            }
            _ => {}
        }
    }

    /// The stores of a node of this sub-topology.
    pub fn stores_of(&self, node: &Node) -> &[Store] {
        let (first, count) = match &node.operator {
            NodeOperator::Aggregate(AggregateNode { store, .. })
            | NodeOperator::Deduplicate(DeduplicateNode { store, .. })
            | NodeOperator::Table(TableNode { store, .. })
            | NodeOperator::Regroup(RegroupNode { store, .. })
            | NodeOperator::StreamJoin(StreamJoinNode { store, .. })
            | NodeOperator::Foreign(
                ForeignNode::Left(JoinNode { store: Some(store), .. }) | ForeignNode::Right { store },
            )
            | NodeOperator::Join(
                JoinNode { store: Some(store), .. } | JoinNode { wait: Some(WaitNode { store, .. }), .. },
            ) => (*store, 1),
            NodeOperator::Process(process) => (process.store, process.spec.stores.len() + 1),
            _ => (0, 0),
        };
        &self.stores[first..first + count]
    }
}
