use zastava_observer::Stat;

#[test]
fn a_stat_line_is_read_whatever_the_program_is_called() {
    let tail = "S 1 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200 18446744073709551615";
    for name in ["sleep", "a b", "evil) R 9 9", "((", ")", ""] {
        let stat = Stat::parse(format!("42 ({name}) {tail}\n").as_bytes()).expect("is a stat line");
        assert_eq!((stat.pid, stat.name.as_str(), stat.state), (42, name, 'S'));
        assert_eq!((stat.parent, stat.process_group, stat.session, stat.start_ticks), (1, 42, 40, 987_654));
        assert!(!stat.is_kernel_thread() && !stat.is_ended());
    }
    let thread =
        Stat::parse(b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0").expect("is one");
    assert!(thread.is_kernel_thread());
    // The state is the first thread's. Other threads may run on.
    for (state, threads, is_ended) in [
        ('Z', 1, true),
        ('X', 1, true),
        ('Z', 0, true),
        ('Z', 2, false),
        ('X', 40, false),
        ('S', 1, false),
        ('R', 0, false),
        ('D', 3, false),
    ] {
        let line = format!("7 (x) {state} 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 {threads} 0 1 0 0");
        assert_eq!(Stat::parse(line.as_bytes()).expect("is one").is_ended(), is_ended, "{line}");
    }
}

#[test]
fn what_is_no_stat_line_is_refused() {
    for text in [
        "",
        "42",
        "42 (x",
        "42 x) S",
        "x (x) S 1",
        "42 (x)",
        "42 (x) S 1 2 3 4 5 6",
        ")(",
        "4294967296 (x) S",
    ] {
        assert_eq!(Stat::parse(text.as_bytes()), None, "{text:?}");
    }
}
