//! Asks AWS who it is until it is somebody else: until the SDK has fetched credentials a second time, by itself.

use std::{collections::HashSet, time::Duration, time::Instant};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    let (sts, mut seen) = (aws_sdk_sts::Client::new(&config), HashSet::new());
    let began = Instant::now();
    while seen.len() < 2 && began.elapsed() < Duration::from_secs(60) {
        let arn = sts.get_caller_identity().send().await.expect("an answer").arn.expect("an ARN");
        if seen.insert(arn.clone()) {
            println!("{arn}");
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
