use serde_json::json;

use super::*;
use crate::k8s::fake::{ExecStep, FakeApi};
use crate::k8s::to_fake;

const LIMIT: Duration = Duration::from_secs(10);

async fn with(steps: Vec<ExecStep>) -> (FakeApi, K8s) {
    let fake = FakeApi::start().await;
    fake.put("/api/v1/namespaces/shop/pods/db-0", json!({}));
    fake.on_exec(move |_| steps.clone());
    let k8s = to_fake(&fake);
    (fake, k8s)
}

async fn run(steps: Vec<ExecStep>) -> Result<ExecOutput, ExecError> {
    let (_fake, k8s) = with(steps).await;
    k8s.exec("db-0", "postgres", &["true"], None, LIMIT).await
}

#[tokio::test]
async fn output_and_exit_code_come_back() {
    let output = run(vec![
        ExecStep::Stdout(b"one\n".into()),
        ExecStep::Stderr(b"oops".into()),
        ExecStep::Stdout(b"two".into()),
        ExecStep::Exit(7),
    ])
    .await
    .unwrap();
    assert_eq!(output.text(), "one\ntwo");
    assert_eq!(output.stderr, "oops");
    assert_eq!(output.code, 7);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_is_an_error_and_no_hang() {
    let error = run(vec![ExecStep::Stdout(b"half".into()), ExecStep::Reset])
        .await
        .unwrap_err();
    assert!(
        matches!(error, ExecError::Lost { received: 4, .. }),
        "{error}"
    );
    assert!(error.may_be_running());
}

#[tokio::test]
async fn a_clean_close_without_a_result_is_an_error() {
    let error = run(vec![ExecStep::Stdout(b"all".into()), ExecStep::Close])
        .await
        .unwrap_err();
    assert!(matches!(error, ExecError::Lost { .. }), "{error}");
}

#[tokio::test]
async fn a_command_that_cannot_start_says_so() {
    let why = "Internal error occurred: OCI runtime exec failed: exec: \"true\": executable file not found in $PATH";
    let error = run(vec![ExecStep::Fail(why.into())]).await.unwrap_err();
    assert!(matches!(error, ExecError::NotStarted { .. }), "{error}");
    assert!(!error.may_be_running());
}

#[tokio::test]
async fn a_failure_of_the_node_after_output_is_a_lost_connection() {
    let error = run(vec![
        ExecStep::Stdout(b"x".into()),
        ExecStep::Fail("error reading from error stream: connection reset by peer".into()),
    ])
    .await
    .unwrap_err();
    assert!(
        matches!(error, ExecError::Lost { received: 1, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_silent_command_ends_at_the_limit() {
    let (_fake, k8s) = with(vec![ExecStep::Silence]).await;
    let limit = Duration::from_millis(200);
    let error = k8s
        .exec("db-0", "postgres", &["sleep"], None, limit)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ExecError::TimedOut { after, .. } if after == limit),
        "{error}"
    );
}

#[tokio::test]
async fn stdin_arrives_whole_and_its_end_is_told() {
    let (fake, k8s) = with(vec![ExecStep::Exit(0)]).await;
    let script = vec![b'x'; 100_000];
    k8s.exec(
        "db-0",
        "postgres",
        &["sh", "-s"],
        Some(script.clone()),
        LIMIT,
    )
    .await
    .unwrap();
    let call = fake.exec_calls().remove(0);
    assert_eq!(call.stdin, Some(script));
    assert_eq!(
        (call.pod.as_str(), call.container.as_str()),
        ("db-0", "postgres")
    );
    assert_eq!(call.argv, ["sh", "-s"]);
}

#[tokio::test]
async fn an_empty_stdin_ends_too() {
    let (fake, k8s) = with(vec![ExecStep::Exit(0)]).await;
    k8s.exec("db-0", "postgres", &["cat"], Some(Vec::new()), LIMIT)
        .await
        .unwrap();
    assert_eq!(fake.exec_calls()[0].stdin, Some(Vec::new()));
}

#[tokio::test]
async fn a_server_before_1_30_gets_a_counted_stdin() {
    let (fake, k8s) = with(vec![ExecStep::Exit(0)]).await;
    fake.speak_v4();
    let script = b"select 1".to_vec();
    k8s.exec(
        "db-0",
        "postgres",
        &["psql", "-qAt"],
        Some(script.clone()),
        LIMIT,
    )
    .await
    .unwrap();
    let call = fake.exec_calls().pop().unwrap();
    assert_eq!(call.stdin, Some(script));
    assert_eq!(call.argv[4..], ["8", "psql", "-qAt"]);
}

#[tokio::test]
async fn a_command_that_prints_without_reading_its_stdin_does_not_block() {
    let block = vec![b'.'; 1 << 20];
    let mut steps = vec![ExecStep::Stdout(block); 6];
    steps.push(ExecStep::Exit(0));
    let (fake, k8s) = with(steps).await;
    fake.ignore_stdin();
    let stdin = Some(vec![b'i'; 8 << 20]);
    let output = k8s
        .exec("db-0", "postgres", &["yes"], stdin, LIMIT)
        .await
        .unwrap();
    assert_eq!(output.stdout.len(), 6 << 20);
}

#[tokio::test]
async fn endless_output_is_stopped() {
    let block = vec![b'.'; 1 << 20];
    let mut steps = vec![ExecStep::Stdout(block); 10];
    steps.push(ExecStep::Exit(0));
    let error = run(steps).await.unwrap_err();
    assert!(matches!(error, ExecError::TooMuch { .. }), "{error}");
}

#[tokio::test]
async fn lines_are_handed_over_as_they_come() {
    let (_fake, k8s) = with(vec![
        ExecStep::Stdout(b"{\"a\":1}\n{\"b\"".into()),
        ExecStep::Stdout(b":2}\nlast".into()),
        ExecStep::Exit(0),
    ])
    .await;
    let mut lines = Vec::new();
    let on_line = |line: &str| lines.push(line.to_owned());
    let output = k8s
        .exec_lines("db-0", "c", &["x"], None, LIMIT, on_line)
        .await
        .unwrap();
    assert_eq!(lines, ["{\"a\":1}", "{\"b\":2}", "last"]);
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn a_command_that_is_talked_to_hears_each_word_and_no_end() {
    let (fake, k8s) = with(vec![ExecStep::Stdout(b"ready\n".into()), ExecStep::Exit(0)]).await;
    fake.stdin_until("end\n");
    let (say, words) = tokio::sync::mpsc::unbounded_channel();
    let mut lines = Vec::new();
    let talk = k8s.exec_talk("db-0", "c", &["sh"], b"script\n".into(), words, |line| {
        lines.push(line.to_owned());
    });
    let speak = async {
        for word in ["alive\n", "end\n"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
            say.send(word.to_owned()).unwrap();
        }
    };
    let (output, ()) = tokio::join!(talk, speak);
    assert_eq!(output.unwrap().code, 0);
    assert_eq!(lines, ["ready"]);
    let call = fake.exec_calls().remove(0);
    assert_eq!(call.stdin, Some(b"script\nalive\nend\n".into()));
}

#[tokio::test]
async fn a_missing_pod_is_refused_in_the_servers_words() {
    let (_fake, k8s) = with(Vec::new()).await;
    let error = k8s
        .exec("db-9", "c", &["x"], None, LIMIT)
        .await
        .unwrap_err();
    assert!(error.is_refused());
    assert!(
        error.to_string().contains("pods \"db-9\" not found"),
        "{error}"
    );
}

#[tokio::test]
async fn a_command_is_never_started_twice() {
    let (fake, k8s) = with(vec![ExecStep::Exit(0)]).await;
    k8s.exec("db-0", "c", &["x"], None, LIMIT).await.unwrap();
    fake.fault("/exec", 1, crate::k8s::fake::Fault::Reset);
    let error = k8s
        .exec("db-0", "c", &["x"], None, LIMIT)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("lost"), "{error}");
    let tries = fake
        .requests()
        .iter()
        .filter(|line| line.contains("/exec"))
        .count();
    assert_eq!(tries, 2);
}
