//! Where ranks live, and which of them make a communicator.

use std::collections::BTreeMap;

use ccl_core::CommShape;

use crate::world::{JobError, World};

/// Where a rank lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its node, from 0.
    pub node: u32,
    /// Its GPU there, from 0.
    pub gpu: u32,
}

/// Who is in a communicator, in the order of its ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group(pub Vec<Member>);

impl Group {
    /// The shape, with nodes that hold members.
    pub fn shape(&self) -> CommShape {
        let mut nodes: Vec<u32> = self.0.iter().map(|member| member.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        CommShape::new(count(self.0.len()), count(nodes.len()))
    }
}

impl World {
    /// All ranks in the order of their numbers: node by node.
    pub fn members(&self) -> impl Iterator<Item = Member> + use<> {
        let gpus = self.gpus_per_node;
        (0..self.nodes).flat_map(move |node| (0..gpus).map(move |gpu| Member { node, gpu }))
    }

    /// All groups of a shape that tile the world: `8r1n` is one group per node of eight GPUs, `4r4n`
    /// one group per GPU of four nodes. Every rank is in exactly one of them.
    ///
    /// # Errors
    /// When the shape does not divide the world.
    pub fn tile(&self, shape: CommShape) -> Result<Vec<Group>, JobError> {
        let CommShape { ranks, nodes } = shape;
        let fits = |part: u32, whole: u32| part > 0 && part <= whole && whole.is_multiple_of(part);
        let per_node = ranks.checked_div(nodes).unwrap_or(0);
        if !fits(nodes, self.nodes)
            || !fits(per_node, self.gpus_per_node)
            || per_node * nodes != ranks
        {
            return Err(JobError::Shape {
                shape,
                nodes: self.nodes,
                gpus_per_node: self.gpus_per_node,
            });
        }
        let mut groups: BTreeMap<(u32, u32), Vec<Member>> = BTreeMap::new();
        for member in self.members() {
            let place = (member.node / nodes, member.gpu / per_node);
            groups.entry(place).or_default().push(member);
        }
        Ok(groups.into_values().map(Group).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn members(group: &Group) -> Vec<(u32, u32)> {
        group.0.iter().map(|m| (m.node, m.gpu)).collect()
    }

    #[test]
    fn packed_spread_and_whole_groups_tile_a_world() {
        let world = World::new(2, 4);
        let packed = world.tile(CommShape::new(4, 1)).unwrap();
        assert_eq!(packed.len(), 2);
        assert_eq!(members(&packed[1]), [(1, 0), (1, 1), (1, 2), (1, 3)]);
        let spread = world.tile(CommShape::new(2, 2)).unwrap();
        assert_eq!(spread.len(), 4);
        assert_eq!(members(&spread[3]), [(0, 3), (1, 3)]);
        let whole = world.tile(CommShape::new(8, 2)).unwrap();
        assert_eq!(whole.len(), 1);
        assert_eq!(whole[0].0, world.members().collect::<Vec<_>>());
        for shape in [packed[0].shape(), spread[0].shape(), whole[0].shape()] {
            assert!(world.tile(shape).is_ok(), "{shape}");
        }
        for (ranks, nodes) in [(3, 1), (3, 2), (16, 2), (4, 4), (0, 0), (5, 2)] {
            assert!(
                world.tile(CommShape::new(ranks, nodes)).is_err(),
                "{ranks}r{nodes}n"
            );
        }
    }
}
