//! `bazar catalog verify`: replicas are compared with the master row by row.

use crate::harness::{Cluster, Finished, Shape, TOKEN, alter, in_company, run};

fn verify(cluster: &Cluster) -> Finished {
    run(&["catalog", "verify", "--master", cluster.master.url()], &[("BAZAR_INTERNAL_TOKEN", TOKEN)])
}

#[test]
fn a_row_of_a_replica_that_was_altered_by_hand_is_found_and_repaired() {
    let _company = in_company();
    let mut cluster = Cluster::start(Shape { replicas: 2, ..Shape::default() });
    let client = cluster.client(0);
    (0..3).for_each(|_| drop(client.buy(9).ok()));
    let Finished { code, stdout, stderr } = verify(&cluster);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(stdout.lines().count(), 3, "{stdout}");
    assert_eq!(stdout.matches(": equal").count(), 2, "{stdout}");

    cluster.replicas[0].stop();
    // A row that no purchase of this test touches.
    alter(&cluster.data("replica-1"), "UPDATE books SET price_cents = 1 WHERE id = 4");
    cluster.replicas[0].restart();
    cluster.in_sync(2);
    client.buy(9).ok();
    let Finished { code, stdout, stderr } = verify(&cluster);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    let url = cluster.replicas[0].url();
    assert!(stdout.lines().any(|line| line.contains(url) && line.contains("not verified")), "{stdout}");
    assert_eq!(stdout.matches(": equal").count(), 1, "{stdout}");
    assert!(stderr.contains("1 of 2 replicas"), "{stderr}");
    let log = cluster.replicas[0].log();
    assert!(log.contains("rows of books") && log.contains("taking a snapshot"), "{log}");

    cluster.in_sync(2);
    let Finished { code, stdout, stderr } = verify(&cluster);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    client.buy(9).ok();
    assert_eq!(cluster.stop_and_compare()["orders"].len(), 5);
}

#[test]
fn a_master_without_replicas_has_nothing_to_be_compared_with_and_says_so() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { replicas: 0, ..Shape::default() });
    let Finished { code, stdout, stderr } = verify(&cluster);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("11 rows in 5 ranges") && stdout.contains("no replica is linked"), "{stdout}");
}

#[test]
fn a_verification_that_nobody_can_be_asked_for_fails() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { frontends: 0, ..Shape::default() });
    let token = ("BAZAR_INTERNAL_TOKEN", TOKEN);
    let in_the_environment = run(&["catalog", "verify"], &[token, ("BAZAR_MASTER", cluster.master.url())]);
    assert_eq!(in_the_environment.code, Some(0), "{}", in_the_environment.stderr);
    for (args, code) in [
        (vec!["catalog", "verify", "--master", crate::harness::NOBODY], 1),
        (vec!["catalog", "verify", "--master", cluster.replicas[0].url()], 1),
        (vec!["catalog", "verify"], 2),
        (vec!["catalog", "verify", "--master", "nonsense"], 2),
        (vec!["catalog", "--master", "verify"], 2),
    ] {
        let finished = run(&args, &[token]);
        assert_eq!(finished.code, Some(code), "{args:?}: {}", finished.stderr);
    }
}
