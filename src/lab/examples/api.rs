//! Runs the API server alone and prints the path of a kubeconfig for it. Ends with ctrl-c.

use trueup_lab::api::{Config, Server};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, Into::into);
    let server = Server::start(Config {
        dir: dir.clone(),
        ..Config::default()
    })
    .await?;
    let file = dir.join("kubeconfig");
    std::fs::write(
        &file,
        server.kubeconfig(&[("admin", server.admin_token())], "admin"),
    )?;
    println!("{}", file.display());
    std::future::pending::<()>().await;
    Ok(())
}
