//! Prints what a DPoP proof costs, ours and others', beside the bare signature in it.
//!
//! `benches/authority/measure` builds and runs it. Argument: `[--rounds N]`.
//!
//! Every round takes every row for some milliseconds, in an order that rotates; the processor time of
//! the thread counts, which other work on the machine disturbs least. Ratios are taken within a
//! round; medians over rounds.

mod alloc;
mod rows;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::rows::{Row, rows};

const ROUND: Duration = Duration::from_millis(20);
const CALLS_ALONE: usize = 10_000;

fn main() {
    let mut rounds = 41;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => rounds = arguments.next().and_then(|n| n.parse().ok()).expect("a number"),
            other => panic!("unknown argument {other}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let mut rows = rows(&runtime);
    println!("{rounds} rounds of {ROUND:?} a row, processor time of the thread\n");
    let times = measure(&mut rows, rounds);
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>7} {:>11}",
        "", "median us", "best us", "p99 us", "ratio", "allocations"
    );
    for (index, row) in rows.iter_mut().enumerate() {
        let own = &times[index];
        let ratio = row.reference.map(|of| {
            let ratios: Vec<_> = own.iter().zip(&times[of]).map(|(own, reference)| own / reference).collect();
            format!("{:.3}", percentile(ratios, 50))
        });
        let alone = (0..CALLS_ALONE).map(|_| timed(1, &mut row.call)).collect();
        let allocations = alloc::counted(&mut row.call);
        println!(
            "{:<44} {:>9.2} {:>9.2} {:>9.2} {:>7} {:>11}",
            row.name,
            percentile(own.clone(), 50),
            percentile(own.clone(), 0),
            percentile(alone, 99),
            ratio.unwrap_or_default(),
            allocations
        );
    }
    println!("\nblocks that were freed with a secret in them: {}", rows::leaks());
}

/// Microseconds a call, for each row and round.
fn measure(rows: &mut [Row], rounds: usize) -> Vec<Vec<f64>> {
    let calls: Vec<usize> = rows
        .iter_mut()
        .map(|row| (ROUND.as_secs_f64() * 1e6 / timed(200, &mut row.call)).ceil() as usize)
        .collect();
    let mut times = vec![Vec::new(); rows.len()];
    for round in 0..rounds {
        for step in 0..rows.len() {
            let index = (round + step) % rows.len();
            times[index].push(timed(calls[index], &mut rows[index].call));
        }
    }
    times
}

/// Microseconds of processor time a call.
fn timed(calls: usize, call: &mut dyn FnMut()) -> f64 {
    let before = cpu_time();
    (0..calls).for_each(|_| call());
    (cpu_time() - before).as_secs_f64() * 1e6 / calls as f64
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("it runs forward")
}

fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}
