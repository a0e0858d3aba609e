//! Walks a graph: inputs first, independent vertices at once, each vertex one time.
//!
//! The solver doesn't know what a vertex does: [`Work`] does. So it can be read, and tested, alone.

use std::{
    any::Any,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Condvar, Mutex},
    thread,
};

/// What a vertex does with what its inputs gave.
pub trait Work: Sync {
    /// What a vertex gives; cheap to clone.
    type Output: Clone + Send;
    /// Why it failed.
    type Error: Send;
    /// Does the work of vertex `at`. `inputs` are in the order of the vertex's edges.
    fn run(&self, at: usize, inputs: Vec<Self::Output>) -> Result<Self::Output, Self::Error>;
}

/// Why nothing new starts.
enum Stop<E> {
    Failed(E),
    Panicked(Box<dyn Any + Send>),
}

struct State<W: Work> {
    outputs: Vec<Option<W::Output>>,
    /// Inputs that a vertex still waits for.
    waiting: Vec<usize>,
    /// Consumers that still need a vertex's output; it is dropped after the last one.
    needed: Vec<usize>,
    /// The lowest number first: a definition lists inputs first, so this is the file's order.
    ready: BTreeSet<usize>,
    running: usize,
    stop: Option<Stop<W::Error>>,
}

/// Runs all that `target` needs, at most `jobs` vertices at a time, and returns what it gave.
///
/// `inputs[v]` are the vertices that `v` waits for, duplicates allowed; the graph must have no cycle
/// (a content-addressed one can't). After a failure nothing new starts, what runs is waited for, and
/// the first error is returned. A panic of the work stops in the same way, and goes on in the caller.
pub fn solve<W: Work>(inputs: &[Vec<usize>], target: usize, jobs: usize, work: &W) -> Result<W::Output, W::Error> {
    let reachable = reachable(inputs, target);
    let mut consumers = vec![Vec::new(); inputs.len()];
    let mut state = State::<W> {
        outputs: inputs.iter().map(|_| None).collect(),
        waiting: vec![0; inputs.len()],
        needed: vec![0; inputs.len()],
        ready: BTreeSet::new(),
        running: 0,
        stop: None,
    };
    for &v in &reachable {
        let unique: BTreeSet<usize> = inputs[v].iter().copied().collect();
        state.waiting[v] = unique.len();
        for input in unique {
            consumers[input].push(v);
            state.needed[input] += 1;
        }
        if state.waiting[v] == 0 {
            state.ready.insert(v);
        }
    }
    state.needed[target] += 1; // the caller
    let shared = (Mutex::new(state), Condvar::new());
    thread::scope(|scope| {
        for _ in 1..jobs.max(1).min(reachable.len()) {
            scope.spawn(|| worker(inputs, &consumers, target, work, &shared));
        }
        worker(inputs, &consumers, target, work, &shared);
    });
    let mut state = shared.0.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    match state.stop {
        Some(Stop::Panicked(panic)) => resume_unwind(panic),
        Some(Stop::Failed(error)) => Err(error),
        None => Ok(state.outputs[target].take().expect("without an error every reachable vertex has run")),
    }
}

fn worker<W: Work>(
    inputs: &[Vec<usize>],
    consumers: &[Vec<usize>],
    target: usize,
    work: &W,
    (state, changed): &(Mutex<State<W>>, Condvar),
) {
    let mut guard = state.lock().expect("work runs outside the lock");
    loop {
        if guard.stop.is_some() || guard.outputs[target].is_some() {
            return;
        }
        let Some(at) = guard.ready.pop_first() else {
            if guard.running == 0 {
                return;
            }
            guard = changed.wait(guard).expect("work runs outside the lock");
            continue;
        };
        guard.running += 1;
        let given = inputs[at].iter().map(|i| guard.outputs[*i].clone().expect("inputs ran first")).collect();
        drop(guard);
        // Caught, since the other workers wait for this one to say that it has ended. What the panic may have
        // left in disorder is not used again: nothing new starts.
        let result = catch_unwind(AssertUnwindSafe(|| work.run(at, given)));
        guard = state.lock().expect("work runs outside the lock");
        guard.running -= 1;
        match result {
            Err(panic) => guard.stop = Some(Stop::Panicked(panic)),
            Ok(Err(error)) => {
                guard.stop.get_or_insert(Stop::Failed(error));
            }
            Ok(Ok(output)) => {
                guard.outputs[at] = Some(output);
                for input in inputs[at].iter().copied().collect::<BTreeSet<_>>() {
                    guard.needed[input] -= 1;
                    if guard.needed[input] == 0 {
                        guard.outputs[input] = None;
                    }
                }
                for &next in &consumers[at] {
                    guard.waiting[next] -= 1;
                    if guard.waiting[next] == 0 {
                        guard.ready.insert(next);
                    }
                }
            }
        }
        changed.notify_all();
    }
}

fn reachable(inputs: &[Vec<usize>], target: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::from([target]);
    let mut todo = vec![target];
    while let Some(v) = todo.pop() {
        todo.extend(inputs[v].iter().copied().filter(|i| seen.insert(*i)));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    };

    struct Sum<'a> {
        runs: &'a [AtomicUsize],
        fails: Option<usize>,
    }

    impl Work for Sum<'_> {
        type Output = usize;
        type Error = usize;
        fn run(&self, at: usize, inputs: Vec<usize>) -> Result<usize, usize> {
            self.runs[at].fetch_add(1, Ordering::SeqCst);
            if self.fails == Some(at) { Err(at) } else { Ok(at + inputs.iter().sum::<usize>()) }
        }
    }

    fn counters(n: usize) -> Vec<AtomicUsize> {
        (0..n).map(|_| AtomicUsize::new(0)).collect()
    }

    #[test]
    fn a_diamond_runs_each_vertex_once_and_leaves_out_the_unreachable() {
        let graph = [vec![], vec![0], vec![0], vec![1, 2, 1], vec![3]];
        for jobs in [1, 2, 8] {
            let runs = counters(5);
            let sum = solve(&graph, 3, jobs, &Sum { runs: &runs, fails: None });
            assert_eq!(sum, Ok(3 + 1 + 2 + 1));
            assert_eq!(runs.iter().map(|r| r.load(Ordering::SeqCst)).collect::<Vec<_>>(), [1, 1, 1, 1, 0]);
        }
    }

    #[test]
    fn after_a_failure_nothing_that_depends_on_it_runs() {
        let graph = [vec![], vec![0], vec![1]];
        let runs = counters(3);
        assert_eq!(solve(&graph, 2, 2, &Sum { runs: &runs, fails: Some(1) }), Err(1));
        assert_eq!(runs[2].load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_panic_stops_all_workers_and_reaches_the_caller() {
        struct Breaks(Barrier);
        impl Work for Breaks {
            type Output = ();
            type Error = ();
            fn run(&self, at: usize, _: Vec<()>) -> Result<(), ()> {
                if at < 2 {
                    self.0.wait(); // the other worker is at work, or waits, when this one breaks
                }
                if at == 1 { resume_unwind(Box::new("broken")) } else { Ok(()) }
            }
        }
        let graph = [vec![], vec![], vec![0, 1], vec![2]];
        let work = Breaks(Barrier::new(2));
        let caught = catch_unwind(AssertUnwindSafe(|| solve(&graph, 3, 4, &work)));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"broken"));
    }

    #[test]
    fn independent_vertices_run_at_once() {
        struct Meet(Barrier);
        impl Work for Meet {
            type Output = ();
            type Error = ();
            fn run(&self, at: usize, _: Vec<()>) -> Result<(), ()> {
                if at < 2 {
                    self.0.wait(); // passes only when both are in here
                }
                Ok(())
            }
        }
        assert_eq!(solve(&[vec![], vec![], vec![0, 1]], 2, 2, &Meet(Barrier::new(2))), Ok(()));
    }
}
