//! The mechanism alone, with reads that wait for the test.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::table::{HUNG_MAX, READS_MAX};
use super::*;

const LONG: Duration = Duration::from_secs(60);
/// Reads that are to hang are given up at once.
const SHORT: Duration = Duration::from_millis(1);

fn file_system(minor: u32) -> Place {
    Place::FileSystem(Device { major: 0, minor })
}

fn impatient(reads: &Reads) -> Reader {
    Reader { each: SHORT, ..reads.reader(LONG) }
}

/// Lets a read hang there until the sender is dropped. The receiver hears that it has ended.
fn hang(reads: &Reads, place: Place) -> (Sender<()>, Receiver<()>) {
    let ((release, released), (end, ended)) = (channel::<()>(), channel());
    let found = impatient(reads).read(place, move |under_way| {
        let _ = released.recv();
        // The table forgets the read before `ended` hears of it.
        under_way.reads.table().end(under_way.id);
        drop(end);
    });
    assert_eq!(found, Err(NotRead::TimedOut));
    (release, ended)
}

fn read(reads: &Reads, place: Place) -> Result<u8, NotRead> {
    reads.patient_reader(LONG).read(place, |_| 7)
}

#[test]
fn a_read_that_hangs_keeps_others_from_its_place_only_until_it_returns() {
    let places = [
        file_system(1),
        Place::Process { pid: 1, file: "maps" },
        Place::Process { pid: 1, file: "cmdline" },
        Place::Process { pid: 2, file: "maps" },
        Place::LookUp { pid: 1 },
        Place::LookUp { pid: 2 },
        Place::Node("socket"),
    ];
    for place in places {
        let reads = Reads::default();
        let (release, ended) = hang(&reads, place);
        for other in places {
            let wanted = if other == place { Err(NotRead::PlaceHangs) } else { Ok(7) };
            assert_eq!(read(&reads, other), wanted, "{other} while {place} hangs");
        }
        drop(release);
        assert!(ended.recv().is_err(), "the read ends");
        assert_eq!(read(&reads, place), Ok(7));
        assert!(reads.table().hung().is_empty());
    }
}

#[test]
fn the_number_of_hung_reads_is_bounded_for_each_kind() {
    let reads = Reads::default();
    let count = u32::try_from(HUNG_MAX).expect("is small");
    assert_eq!(read(&reads, file_system(count + 1)), Ok(7));
    let mut hung: Vec<_> = (0..count).map(|minor| hang(&reads, file_system(minor))).collect();
    assert_eq!(read(&reads, file_system(count)), Err(NotRead::TooMany));
    assert_eq!(read(&reads, file_system(count + 1)), Ok(7), "it has answered before");
    assert_eq!(read(&reads, Place::Process { pid: 1, file: "maps" }), Ok(7));
    let (release, ended) = hung.pop().expect("there are some");
    drop(release);
    assert!(ended.recv().is_err(), "the read ends");
    assert_eq!(read(&reads, file_system(count)), Ok(7));
}

#[test]
fn while_nobody_knows_whether_a_place_hangs_only_a_few_reads_wait_there() {
    let reads = Reads::default();
    let (release, released) = channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let waiting: Vec<_> = (0..3 * READS_MAX)
        .map(|_| {
            let (reads, released) = (reads.clone(), Arc::clone(&released));
            std::thread::spawn(move || {
                let mut reader = Reader { each: Duration::from_millis(200), ..reads.reader(LONG) };
                reader.read(file_system(1), move |_| {
                    let _ = released.lock().map(|released| released.recv().is_ok());
                })
            })
        })
        .collect();
    for thread in waiting {
        let found = thread.join().expect("does not panic");
        assert!(matches!(found, Err(NotRead::TimedOut | NotRead::PlaceHangs)), "{found:?}");
    }
    assert!((1..=READS_MAX).contains(&reads.table().hung().len()));
    drop(release);
}

#[test]
fn a_read_hangs_where_it_went_last() {
    let reads = Reads::default();
    let (release, released) = channel::<()>();
    let found = impatient(&reads).read(Place::Memory, move |under_way| {
        under_way.goes_to(file_system(1)).expect("nothing hangs there");
        let _ = released.recv();
    });
    assert_eq!(found, Err(NotRead::TimedOut));
    // It may have been given up before it went there.
    while read(&reads, file_system(1)) != Err(NotRead::PlaceHangs) {
        std::thread::yield_now();
    }
    let refused =
        reads.patient_reader(LONG).read(Place::Memory, |under_way| under_way.goes_to(file_system(1)));
    assert_eq!(refused, Ok(Err(NotRead::PlaceHangs)));
    drop(release);
}

#[test]
fn a_reader_reads_on_after_a_read_that_hangs() {
    let reads = Reads::default();
    let (release, released) = channel::<()>();
    let mut reader = impatient(&reads);
    assert_eq!(reader.read(file_system(1), move |_| released.recv().is_ok()), Err(NotRead::TimedOut));
    reader.each = LONG;
    assert_eq!(reader.read(file_system(2), |_| 7), Ok(7));
    assert_eq!(reader.read(file_system(1), |_| 7), Err(NotRead::PlaceHangs));
    reader.until = Instant::now();
    assert_eq!(reader.read(file_system(2), |_| 7), Err(NotRead::TimedOut));
    assert_eq!(reads.table().not_read(), 3);
    drop(release);
}

#[test]
fn a_panic_of_a_read_reaches_the_caller() {
    let reads = Reads::default();
    let result = std::panic::catch_unwind(|| {
        reads.reader(LONG).read(file_system(1), |_| panic!("the read's own words"))
    });
    let panic = result.expect_err("panics");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"the read's own words"));
    assert_eq!(read(&reads, file_system(1)), Ok(7));
}
