use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const NONE: [Uuid; 0] = [];

fn id(number: u64) -> Uuid {
    Uuid::from_u128(number.into())
}

fn state(number: u64) -> StateId {
    B256::left_padding_from(&number.to_be_bytes())
}

fn assembly(inputs: &[u64], reads: &[u64], outputs: &[u64]) -> Assembly {
    let states = |numbers: &[u64]| numbers.iter().copied().map(state).collect();
    Assembly { inputs: states(inputs), reads: states(reads), outputs: states(outputs) }
}

/// 1 spends what the chain has, 2 spends what 1 makes, 3 what 2 makes.
fn chain_of(length: u64) -> Dependencies {
    let mut dependencies = Dependencies::default();
    for number in 1..=length {
        dependencies.assembled(id(number), assembly(&[number - 1], &[], &[number]), &[]).expect("a chain has no conflicts");
    }
    dependencies
}

#[test]
fn a_chain_is_dispatched_in_its_order() {
    let mut chain = chain_of(3);
    assert!(chain.may_be_dispatched(id(1)) && !chain.may_be_dispatched(id(2)));
    assert_eq!(chain.ready(id(1)), [id(2)]);
    assert_eq!(chain.ready(id(1)), NONE, "it is ready once");
    assert_eq!(chain.ready(id(2)), [id(3)]);
    assert_eq!(chain.confirmed(id(1)), NONE);
    assert!(!chain.contains(id(1)) && chain.len() == 2);
}

#[test]
fn what_goes_takes_all_that_was_assembled_upon_it_the_furthest_first() {
    let mut chain = chain_of(4);
    assert_eq!(chain.take_back(id(2)), [id(4), id(3), id(2)]);
    assert_eq!(chain.take_back(id(2)), NONE);
    assert_eq!(chain.available().collect::<Vec<_>>(), [(state(1), id(1))]);
}

#[test]
fn what_has_passed_its_point_of_no_return_is_not_called_back() {
    let mut chain = chain_of(4);
    chain.ready(id(1));
    chain.ready(id(2));
    assert_eq!(chain.take_back(id(1)), [id(1)], "2 is on its way to the chain, which will revert it; 3 and 4 follow 2");
    assert_eq!(chain.take_back(id(2)), [id(4), id(3), id(2)]);
}

#[test]
fn a_state_is_spent_once_and_read_until_then() {
    let mut dependencies = Dependencies::default();
    dependencies.assembled(id(1), assembly(&[], &[9], &[]), &[]).expect("reads");
    dependencies.assembled(id(2), assembly(&[], &[9], &[]), &[]).expect("reads beside");
    dependencies.assembled(id(3), assembly(&[9], &[], &[10]), &[]).expect("spends");
    assert!(!dependencies.may_be_dispatched(id(3)), "behind those that read it");
    let spent = Conflict::Spent { state: state(9), by: id(3) };
    assert_eq!(dependencies.assembled(id(4), assembly(&[9], &[], &[]), &[]), Err(spent));
    assert_eq!(dependencies.assembled(id(4), assembly(&[], &[9], &[]), &[]), Err(spent));
    let made = Conflict::Made { state: state(10), by: id(3) };
    assert_eq!(dependencies.assembled(id(4), assembly(&[], &[], &[10]), &[]), Err(made));
    assert_eq!(dependencies.assembled(id(4), assembly(&[7, 7], &[], &[]), &[]), Err(Conflict::Twice { state: state(7) }));
    assert_eq!(dependencies.assembled(id(3), assembly(&[], &[], &[]), &[]), Err(Conflict::Assembled { id: id(3) }));
    assert!(!dependencies.contains(id(4)) && dependencies.spender(&state(9)) == Some(id(3)));
    assert_eq!(dependencies.take_back(id(3)), [id(3)]);
    dependencies.assembled(id(4), assembly(&[], &[9], &[]), &[]).expect("it is not spent any more");
}

#[test]
fn what_names_another_waits_for_it_without_sharing_a_state() {
    let mut dependencies = Dependencies::default();
    dependencies.assembled(id(1), assembly(&[], &[], &[1]), &[]).expect("assembled");
    dependencies.assembled(id(2), assembly(&[], &[], &[2]), &[id(1), id(7)]).expect("what is not here is the pool's business");
    assert!(!dependencies.may_be_dispatched(id(2)));
    assert_eq!(dependencies.confirmed(id(1)), [id(2)]);
}

#[test]
fn ten_thousand_in_a_chain_are_dispatched_confirmed_and_taken_back() {
    let mut chain = chain_of(10_000);
    for number in 1..5_000 {
        assert_eq!(chain.ready(id(number)), [id(number + 1)]);
        assert_eq!(chain.confirmed(id(number)), NONE);
    }
    assert_eq!(chain.take_back(id(5_000)).len(), 5_001);
    assert!(chain.is_empty() && chain.available().next().is_none());
}

/// The same, found by looking at everything.
#[derive(Default)]
struct Model {
    /// Assembly, what it names, and whether it is ready.
    nodes: Vec<(Uuid, Assembly, Vec<Uuid>, bool)>,
}

impl Model {
    fn needs(&self, place: usize) -> Vec<usize> {
        let (_, assembly, named, _) = &self.nodes[place];
        let needs = |other: &(Uuid, Assembly, Vec<Uuid>, bool), earlier: bool| {
            let makes = |state: &StateId| other.1.outputs.contains(state);
            let reads = other.1.reads.iter().any(|state| assembly.inputs.contains(state));
            earlier && (reads || named.contains(&other.0) || assembly.inputs.iter().chain(&assembly.reads).any(makes))
        };
        (0..self.nodes.len()).filter(|other| *other != place && needs(&self.nodes[*other], *other < place)).collect()
    }

    fn place(&self, id: Uuid) -> Option<usize> {
        self.nodes.iter().position(|node| node.0 == id)
    }

    fn may_be_dispatched(&self, id: Uuid) -> bool {
        self.place(id).is_none_or(|place| self.needs(place).iter().all(|other| self.nodes[*other].3))
    }

    /// Everything upon `id` that is not ready, and `id`.
    fn upon(&self, id: Uuid) -> BTreeSet<Uuid> {
        let mut upon = BTreeSet::from([id]);
        loop {
            let more = (0..self.nodes.len()).find(|place| {
                let node = &self.nodes[*place];
                !node.3 && !upon.contains(&node.0) && self.needs(*place).iter().any(|other| upon.contains(&self.nodes[*other].0))
            });
            let Some(place) = more else { return upon };
            upon.insert(self.nodes[place].0);
        }
    }
}

#[test]
fn whatever_happens_it_is_what_a_look_at_everything_finds() {
    for seed in 0..400 {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut dependencies, mut model, mut next) = (Dependencies::default(), Model::default(), 0);
        for _ in 0..80 {
            let known = |random: &mut StdRng, next: u64| id(random.random_range(0..=next));
            match random.random_range(0..10) {
                0..5 => {
                    next += 1;
                    let mut states = |most: usize, below: u64| {
                        let count = random.random_range(0..=most);
                        (0..count).map(|_| random.random_range(0..below)).collect::<Vec<_>>()
                    };
                    let (inputs, reads) = (states(2, 12), states(1, 12));
                    let outputs: Vec<u64> = states(2, 12);
                    let named = vec![known(&mut random, next - 1)];
                    let assembly = assembly(&inputs, &reads, &outputs);
                    let clash = |other: &(Uuid, Assembly, Vec<Uuid>, bool)| {
                        let spends = |state: &StateId| other.1.inputs.contains(state);
                        assembly.inputs.iter().chain(&assembly.reads).any(spends)
                            || assembly.outputs.iter().any(|state| other.1.outputs.contains(state))
                    };
                    let twice = inputs.len() == 2 && inputs[0] == inputs[1];
                    let taken = dependencies.assembled(id(next), assembly.clone(), &named);
                    assert_eq!(taken.is_ok(), !twice && !model.nodes.iter().any(clash), "seed {seed}: {taken:?}");
                    if taken.is_ok() {
                        let named = named.into_iter().filter(|other| model.place(*other).is_some()).collect();
                        model.nodes.push((id(next), assembly, named, false));
                    }
                }
                5..7 => {
                    let id = known(&mut random, next);
                    if dependencies.may_be_dispatched(id) && dependencies.contains(id) {
                        let released = dependencies.ready(id);
                        let before: Vec<bool> = model.nodes.iter().map(|node| model.may_be_dispatched(node.0)).collect();
                        let place = model.place(id).expect("it is here");
                        model.nodes[place].3 = true;
                        let now = model.nodes.iter().zip(before).filter(|(node, before)| !before && model.may_be_dispatched(node.0));
                        let expected: BTreeSet<Uuid> = now.map(|(node, _)| node.0).collect();
                        assert_eq!(released.into_iter().collect::<BTreeSet<_>>(), expected, "seed {seed}");
                    }
                }
                7 => {
                    let id = known(&mut random, next);
                    // What depends on others that are not confirmed is not confirmed before them.
                    if model.place(id).is_some_and(|place| model.nodes[place].3 && model.needs(place).is_empty()) {
                        dependencies.confirmed(id);
                        model.nodes.retain(|node| node.0 != id);
                    }
                }
                _ => {
                    let id = known(&mut random, next);
                    let expected = if model.place(id).is_some() { model.upon(id) } else { BTreeSet::new() };
                    let gone = dependencies.take_back(id);
                    for (place, one) in gone.iter().enumerate() {
                        let needs = model.needs(model.place(*one).expect("it was here"));
                        let earlier = needs.iter().any(|other| gone[..place].contains(&model.nodes[*other].0));
                        assert!(!earlier, "seed {seed}: {one} goes before what it stands upon");
                    }
                    assert_eq!(gone.into_iter().collect::<BTreeSet<_>>(), expected, "seed {seed}");
                    model.nodes.retain(|node| !expected.contains(&node.0));
                }
            }
            assert_eq!(dependencies.len(), model.nodes.len());
            for node in &model.nodes {
                assert_eq!(dependencies.may_be_dispatched(node.0), model.may_be_dispatched(node.0), "seed {seed}");
            }
        }
    }
}
