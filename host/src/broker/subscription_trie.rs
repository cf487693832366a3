//! Filters to subscribers: which of them match a topic, in time that does not grow with their number.
//!
//! All edges lie in one hash table keyed by (node, level), with the level's text beside them: a walk takes one look at the
//! table and one at a node for each level and branch, and allocates nothing. What a large tree costs is cache misses, so
//! that short levels and a filter's only subscriber need no allocation of their own. Nodes keep their children for `+` and
//! `#`, which need no look-up.

use compact_str::CompactString;
use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;
use std::hash::BuildHasher;

type Node = u32;

const ROOT: Node = 0;
const NONE: u32 = u32::MAX;

/// A set of (filter, key, value), where a key stands at most once under a filter.
pub struct SubscriptionTrie<S> {
    hasher: DefaultHashBuilder,
    edges: HashTable<Edge>,
    nodes: Vec<Branch<S>>,
    free_nodes: Vec<Node>,
    len: usize,
}

struct Edge {
    level: CompactString,
    parent: Node,
    child: Node,
}

struct Branch<S> {
    /// Subscribers whose filter ends here, by ascending key.
    here: SmallVec<[(u64, S); 1]>,
    plus: Node,
    hash: Node,
    /// Edges to children other than those two.
    children: u32,
}

impl<S> Branch<S> {
    fn new() -> Self {
        Self { here: SmallVec::new(), plus: NONE, hash: NONE, children: 0 }
    }

    fn is_unused(&self) -> bool {
        self.here.is_empty() && self.plus == NONE && self.hash == NONE && self.children == 0
    }
}

impl<S> Default for SubscriptionTrie<S> {
    fn default() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            edges: HashTable::new(),
            nodes: vec![Branch::new()],
            free_nodes: Vec::new(),
            len: 0,
        }
    }
}

impl<S> SubscriptionTrie<S> {
    /// How many (filter, key) there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a subscriber to a valid filter; returns the one that it replaces.
    pub fn insert(&mut self, filter: &str, key: u64, value: S) -> Option<S> {
        let node = filter.split('/').fold(ROOT, |node, level| self.child_or_new(node, level));
        let list = &mut self.nodes[node as usize].here;
        match list.binary_search_by_key(&key, |entry| entry.0) {
            Ok(at) => Some(std::mem::replace(&mut list[at].1, value)),
            Err(at) => {
                list.insert(at, (key, value));
                self.len += 1;
                None
            }
        }
    }

    /// Takes a subscriber out, if it is there.
    pub fn remove(&mut self, filter: &str, key: u64) -> Option<S> {
        let mut steps: SmallVec<[(Node, &str); 16]> = SmallVec::new();
        let mut node = ROOT;
        for level in filter.split('/') {
            steps.push((node, level));
            node = self.child(node, level)?;
        }
        let list = &mut self.nodes[node as usize].here;
        let at = list.binary_search_by_key(&key, |entry| entry.0).ok()?;
        let (_, value) = list.remove(at);
        if list.len() <= 1 {
            list.shrink_to_fit();
        }
        self.len -= 1;
        while let Some((parent, level)) = steps.pop() {
            if !self.nodes[node as usize].is_unused() {
                break;
            }
            self.cut(parent, level, node);
            node = parent;
        }
        Some(value)
    }

    /// Calls `visit` for each subscriber with a filter that matches (MQTT 5.0, 4.7). Visits each node at most once, so
    /// that it is bounded by the number of filters whatever their shape; how many those were.
    pub fn matches<'t>(&'t self, topic: &str, mut visit: impl FnMut(&'t S)) -> usize {
        let path: SmallVec<[(&str, u64); 16]> =
            topic.split('/').map(|level| (level, self.hasher.hash_one(level))).collect();
        let hidden = topic.starts_with('$');
        let mut pending: SmallVec<[(Node, u32); 16]> = SmallVec::new();
        let (mut node, mut depth, mut visited) = (ROOT, 0usize, 0usize);
        loop {
            visited += 1;
            let branch = &self.nodes[node as usize];
            let wild = !(hidden && node == ROOT);
            if wild && branch.hash != NONE {
                self.nodes[branch.hash as usize].here.iter().for_each(|(_, value)| visit(value));
            }
            let mut next = NONE;
            if let Some(&(level, hash)) = path.get(depth) {
                if branch.children > 0 {
                    next = self.edge(node, level, hash).unwrap_or(NONE);
                }
                if wild && branch.plus != NONE {
                    if next != NONE {
                        pending.push((next, depth as u32 + 1));
                    }
                    next = branch.plus;
                }
            } else {
                branch.here.iter().for_each(|(_, value)| visit(value));
            }
            if next != NONE {
                (node, depth) = (next, depth + 1);
            } else if let Some((back, at)) = pending.pop() {
                (node, depth) = (back, at as usize);
            } else {
                return visited;
            }
        }
    }

    fn edge(&self, parent: Node, level: &str, hash: u64) -> Option<Node> {
        let same = |edge: &Edge| edge.parent == parent && edge.level == level;
        self.edges.find(self.hasher.hash_one((parent, hash)), same).map(|edge| edge.child)
    }

    fn child(&self, node: Node, level: &str) -> Option<Node> {
        let branch = &self.nodes[node as usize];
        match level {
            "+" => (branch.plus != NONE).then_some(branch.plus),
            "#" => (branch.hash != NONE).then_some(branch.hash),
            _ => self.edge(node, level, self.hasher.hash_one(level)),
        }
    }

    fn child_or_new(&mut self, node: Node, level: &str) -> Node {
        if let Some(child) = self.child(node, level) {
            return child;
        }
        let child = self.free_nodes.pop().unwrap_or_else(|| {
            self.nodes.push(Branch::new());
            u32::try_from(self.nodes.len() - 1).expect("fewer nodes than bytes of memory")
        });
        let branch = &mut self.nodes[node as usize];
        match level {
            "+" => branch.plus = child,
            "#" => branch.hash = child,
            _ => {
                branch.children += 1;
                let edge = Edge { level: level.into(), parent: node, child };
                let hash = edge_hash(&self.hasher, &edge);
                self.edges.insert_unique(hash, edge, |edge| edge_hash(&self.hasher, edge));
            }
        }
        child
    }

    /// Removes an unused child.
    fn cut(&mut self, parent: Node, level: &str, child: Node) {
        self.free_nodes.push(child);
        let branch = &mut self.nodes[parent as usize];
        match level {
            "+" => branch.plus = NONE,
            "#" => branch.hash = NONE,
            _ => {
                branch.children -= 1;
                let hash = self.hasher.hash_one((parent, self.hasher.hash_one(level)));
                if let Ok(found) = self.edges.find_entry(hash, |edge| edge.child == child) {
                    found.remove();
                }
            }
        }
    }
}

fn edge_hash(hasher: &DefaultHashBuilder, edge: &Edge) -> u64 {
    hasher.hash_one((edge.parent, hasher.hash_one(edge.level.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::{Filter, Limits};
    use proptest::prelude::*;

    fn found(trie: &SubscriptionTrie<u64>, topic: &str) -> Vec<u64> {
        let mut found = Vec::new();
        trie.matches(topic, |value| found.push(*value));
        found.sort_unstable();
        found
    }

    #[test]
    fn replacing_and_removing_leaves_nothing_behind() {
        let mut trie = SubscriptionTrie::default();
        assert_eq!(trie.insert("a/+/#", 1, 10), None);
        assert_eq!(trie.insert("a/+/#", 1, 11), Some(10));
        assert_eq!(trie.insert("a/b", 2, 20), None);
        assert_eq!(found(&trie, "a/b"), [11, 20]);
        assert_eq!(trie.remove("a/+", 1), None);
        assert_eq!(trie.remove("a/+/#", 1), Some(11));
        assert_eq!(trie.remove("a/b", 2), Some(20));
        assert!(trie.is_empty() && trie.edges.is_empty());
        assert_eq!(trie.free_nodes.len() + 1, trie.nodes.len());
    }

    #[test]
    fn system_topics_hide_from_leading_wildcards() {
        let mut trie = SubscriptionTrie::default();
        for (key, filter) in ["#", "+/x", "$SYS/#", "$SYS/+"].into_iter().enumerate() {
            trie.insert(filter, key as u64, key as u64);
        }
        assert_eq!(found(&trie, "$SYS/x"), [2, 3]);
    }

    proptest! {
        #[test]
        fn agrees_with_matching_one_by_one(
            filters in prop::collection::vec("([ab+]/){0,3}([ab+#]|)", 0..20),
            removed in prop::collection::vec(any::<bool>(), 20),
            topic in "([ab$]/){0,3}[ab]?",
        ) {
            let limits = Limits::default();
            prop_assume!(!topic.is_empty());
            let mut trie = SubscriptionTrie::default();
            let mut expected = Vec::new();
            let valid: Vec<_> = filters.iter().enumerate().filter_map(|(i, f)| Some((i as u64, Filter::new(f, &limits).ok()?))).collect();
            for (key, filter) in &valid {
                trie.insert(filter.as_str(), *key, *key);
            }
            for (key, filter) in &valid {
                if removed[*key as usize] {
                    prop_assert_eq!(trie.remove(filter.as_str(), *key), Some(*key));
                } else if filter.matches(&topic) {
                    expected.push(*key);
                }
            }
            prop_assert_eq!(found(&trie, &topic), expected);
        }
    }
}
