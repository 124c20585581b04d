//! The life of an installation on a real cluster, told by the runbook's own commands: install, judge
//! and watch, upgrade, roll back, outages, missing mounts, the way out, uninstall. In one test, since
//! each part begins where the one before it ended.

mod admission;
mod blocking;
mod certificate;
mod client;
mod install;
mod leave;
mod mounts;
mod operate;
mod outage;

use crate::lab::Lab;

#[test]
fn an_installation_lives_as_the_runbook_says() {
    let Some(lab) = Lab::start() else { return };
    install::print_sizes(&lab);
    install::platform(&lab);
    install::release(&lab);
    admission::unsigned_is_refused_with_reasons(&lab);
    admission::signed_runs_and_is_told(&lab);
    blocking::what_cannot_be_here_is_refused(&lab);
    blocking::the_release_s_test_says_what_is_wrong(&lab);
    blocking::a_certificate_that_api_servers_refuse_is_refused_first(&lab);
    operate::upgrade_and_rollback_lose_no_review(&lab);
    operate::images_are_those_of_the_digests(&lab);
    blocking::a_roll_out_blinds_no_node(&lab);
    operate::guardrails_are_seen(&lab);
    certificate::certificate_and_ca_change_without_a_gap(&lab);
    mounts::capabilities_are_two(&lab);
    mounts::every_fact_is_read_with_them(&lab);
    mounts::each_missing_mount_is_named(&lab);
    outage::scanner(&lab);
    outage::authority(&lab);
    operate::incidents_and_symbols(&lab);
    leave::way_out_and_uninstall(&lab);
    leave::lab_in_one_command(&lab);
    assert_eq!(lab.sections_left_out(), [""; 0], "sections of the runbook that no part of the story runs");
}
