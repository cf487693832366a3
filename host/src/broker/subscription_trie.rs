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
    /// Of levels that do not fit into their edges.
    text_bytes: usize,
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
            text_bytes: 0,
        }
    }
}

/// Fewer nodes than this stay when they are free, and as many as this in use are moved at once.
const FEW: usize = 4096;

/// What a trie has no use for any more. Letting go of it may take a while: not under a lock.
#[expect(dead_code, reason = "it is only let go of")]
pub struct Leftovers<S>(Vec<Branch<S>>, HashTable<Edge>);

impl<S> SubscriptionTrie<S> {
    /// Bytes that a level takes which is in no other filter, roughly: tables that grow are two thirds full.
    pub const NODE_BYTES: usize = (size_of::<Branch<S>>() + size_of::<Edge>()) * 3 / 2;

    /// Bytes that all filters take, roughly.
    pub fn bytes(&self) -> usize {
        self.text_bytes + self.nodes_in_use() * Self::NODE_BYTES
    }

    fn nodes_in_use(&self) -> usize {
        self.nodes.len() - self.free_nodes.len()
    }

    /// Gives memory back once few nodes are in use of many. While more are, free ones wait for other filters: moving them would
    /// keep everybody waiting.
    pub fn give_back(&mut self) -> Option<Leftovers<S>> {
        let in_use = self.nodes_in_use();
        if self.nodes.len() <= 4 * FEW || in_use > FEW {
            return None;
        }
        let mut nodes = Vec::with_capacity(in_use);
        let mut edges: Vec<Edge> = self.edges.drain().collect();
        edges.sort_unstable_by_key(|edge| edge.parent);
        // What is found under a node comes behind it, so that one walk over the new nodes finds all.
        let mut former = vec![ROOT];
        while let Some(&old) = former.get(nodes.len()) {
            let mut branch = std::mem::replace(&mut self.nodes[old as usize], Branch::new());
            let mut follow = |child: &mut Node| {
                former.push(*child);
                *child = (former.len() - 1) as Node;
            };
            [&mut branch.plus, &mut branch.hash].into_iter().filter(|child| **child != NONE).for_each(&mut follow);
            let from = edges.partition_point(|edge| edge.parent < old);
            edges[from..].iter_mut().take_while(|edge| edge.parent == old).for_each(|edge| follow(&mut edge.child));
            nodes.push(branch);
        }
        let mut numbers: Vec<(Node, Node)> = former.iter().zip(0..).map(|(old, new)| (*old, new)).collect();
        numbers.sort_unstable();
        let mut table = HashTable::with_capacity(edges.len());
        for mut edge in edges {
            if let Ok(at) = numbers.binary_search_by_key(&edge.parent, |(old, _)| *old) {
                edge.parent = numbers[at].1;
            }
            let hash = edge_hash(&self.hasher, &edge);
            table.insert_unique(hash, edge, |edge| edge_hash(&self.hasher, edge));
        }
        self.free_nodes = Vec::new();
        Some(Leftovers(std::mem::replace(&mut self.nodes, nodes), std::mem::replace(&mut self.edges, table)))
    }

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
                self.text_bytes += beside_its_edge(level);
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
                self.text_bytes -= beside_its_edge(level);
                let hash = self.hasher.hash_one((parent, self.hasher.hash_one(level)));
                if let Ok(found) = self.edges.find_entry(hash, |edge| edge.child == child) {
                    found.remove();
                }
            }
        }
    }
}

/// Bytes of a level that its edge has no room for.
fn beside_its_edge(level: &str) -> usize {
    if level.len() > size_of::<CompactString>() { level.len() } else { 0 }
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
    fn a_filter_takes_what_its_levels_do_and_gives_it_back() {
        let mut trie = SubscriptionTrie::default();
        let empty = trie.bytes();
        trie.insert("a/b/c", 1, 1);
        assert_eq!(trie.bytes() - empty, 3 * SubscriptionTrie::<u64>::NODE_BYTES);
        trie.insert("a/b/+/#", 1, 1);
        trie.insert(&"x".repeat(500), 1, 1);
        assert_eq!(trie.bytes() - empty, 500 + 6 * SubscriptionTrie::<u64>::NODE_BYTES);
        for filter in ["a/b/c", "a/b/+/#", &"x".repeat(500)] {
            assert_eq!(trie.remove(filter, 1), Some(1));
        }
        assert_eq!(trie.bytes(), empty);
    }

    #[test]
    fn memory_is_given_back_when_most_filters_have_gone() {
        let mut trie = SubscriptionTrie::default();
        let filter = |number: u64| match number % 4 {
            0 => format!("a/{number}/+/x"),
            1 => format!("{number}/#"),
            2 => format!("+/b{number}"),
            _ => format!("a/+/{number}"),
        };
        (0..20_000).for_each(|number| assert_eq!(trie.insert(&filter(number), number, number), None));
        assert!(trie.give_back().is_none(), "all are in use");
        (40..20_000).for_each(|number| assert_eq!(trie.remove(&filter(number), number), Some(number)));
        let before = trie.bytes();
        assert!(trie.give_back().is_some());
        assert!(trie.nodes.len() < 100 && trie.free_nodes.is_empty() && trie.bytes() == before);
        for number in 0..20_000 {
            let topic = filter(number).replace(['+', '#'], "z");
            assert_eq!(found(&trie, &topic), Vec::from_iter((number < 40).then_some(number)), "{topic}");
        }
        (0..40).for_each(|number| assert_eq!(trie.remove(&filter(number), number), Some(number)));
        assert!(trie.is_empty() && trie.nodes_in_use() == 1 && trie.edges.is_empty());
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
