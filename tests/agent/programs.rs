//! Programs that run beside the agent.

use std::ffi::OsString;
use std::path::Path;
use std::process::Child;

use anyhow::Result;
use sparelink::lab::netns::Netns;
use sparelink::lab::stage::child;

/// Programs that run beside the agent; killed when dropped.
pub(crate) struct Programs(pub(crate) Vec<Child>);

impl Drop for Programs {
    fn drop(&mut self) {
        for program in &mut self.0 {
            drop(program.kill());
            drop(program.wait());
        }
    }
}

impl Programs {
    pub(crate) async fn start(
        &mut self,
        netns: &Netns,
        program: &str,
        words: &[&str],
    ) -> Result<()> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let mut command = child(Path::new(program), &words);
        self.0.push(netns.run(async move { command.spawn() }).await??);
        Ok(())
    }
}
