//! Words are completed in real shells, and the scripts in the package are those that the program prints.

use std::path::{Path, PathBuf};

use super::*;

/// Where each shell's script is in the package.
const SCRIPTS: [(&str, &str); 3] =
    [("bash", "sparelink.bash"), ("zsh", "_sparelink"), ("fish", "sparelink.fish")];

fn packed(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions").join(file)
}

#[test]
fn the_package_has_the_scripts_that_the_program_prints() {
    for (shell, file) in SCRIPTS {
        let said = stdout(&sparelink(&format!("completions {shell}")));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(packed(file), &said).unwrap();
        }
        let hint = "run the test with UPDATE_GOLDEN=1 and look at the difference";
        assert_eq!(fs::read_to_string(packed(file)).unwrap_or_default(), said, "{file}: {hint}");
    }
    let unknown = sparelink("completions tcsh");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("the shells are bash, zsh and fish"), "{}", stderr(&unknown));
}

/// Runs a shell beside a `sparelink` that knows three uplinks; `None`: there is no such shell.
#[expect(clippy::disallowed_methods, reason = "a test starts shells")]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn shell(name: &str, words: &[&str]) -> Option<String> {
    let dir = Dir::new(&format!("completions-{name}"));
    let wrapper = dir.0.join("sparelink");
    let (program, root) = (env!("CARGO_BIN_EXE_sparelink"), env!("CARGO_MANIFEST_DIR"));
    let text =
        format!("#!/bin/sh\nexec {program} \"$@\" --config {root}/tests/config/design.toml\n");
    fs::write(&wrapper, text).unwrap();
    fs::set_permissions(&wrapper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", dir.0.display());
    let command = Command::new(name)
        .args(words)
        .env_clear()
        .envs([("PATH", path.as_str()), ("TERM", "dumb"), ("HOME", dir.0.to_str().unwrap())])
        .current_dir(&dir.0)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = command else {
        eprintln!("skipped: completions in {name}, which is missing");
        return None;
    };
    Some(stdout(&output) + &stderr(&output))
}

/// What is typed, and what it may become.
const ROWS: [(&str, &str); 5] = [
    ("sparelink sw", "switch"),
    ("sparelink switch m", "mifi"),
    ("sparelink switch au", "auto"),
    ("sparelink history --uplink ph", "phone"),
    ("sparelink status --w", "--watch"),
];

#[test]
fn bash_completes() {
    let script = format!(
        "source {}; go() {{ COMP_WORDS=($1); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=(); \
         _sparelink 2>/dev/null; echo \"$1: ${{COMPREPLY[*]}}\"; }}; for line; do go \"$line\"; done",
        packed("sparelink.bash").display()
    );
    let mut words = vec!["-c", &script, "bash"];
    words.extend(ROWS.map(|(typed, _)| typed));
    let Some(said) = shell("bash", &words) else { return };
    for (typed, is) in ROWS {
        assert!(said.contains(&format!("{typed}: {is}\n")), "{typed}: {said}");
    }
}

#[test]
fn fish_completes() {
    let script = packed("sparelink.fish");
    for (typed, is) in ROWS {
        let line = format!("source {}; complete -C '{typed}'", script.display());
        let Some(said) = shell("fish", &["-N", "-c", &line]) else { return };
        let words: Vec<&str> = said.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(words, [is], "{typed}: {said}");
    }
}

/// In a zsh with a terminal, as somebody types.
#[test]
fn zsh_completes() {
    // What is typed before the prompt is there is nobody's.
    let script = format!(
        r#"zmodload zsh/zpty; zpty z zsh -f -i
        till() {{ out=; while zpty -r z line "*$1*"; do out+=$line; [[ $out == *$1* ]] && break; done }}
        zpty -w z 'stty -echo; autoload -Uz compinit; compinit -D -u; source {}; PS1="REA""DY> "'
        till 'READY> '
        for typed; do
            zpty -w -n z "$typed"$'\t'
            zpty -w -n z $'\x15print EN""D\n'
            till END
            print -r -- "$typed: $out"
            till 'READY> '
        done
        zpty -d z"#,
        packed("_sparelink").display()
    );
    let mut words = vec!["-f", "-c", &script, "zsh"];
    words.extend(ROWS.map(|(typed, _)| typed));
    let Some(said) = shell("zsh", &words) else { return };
    for (typed, is) in ROWS {
        let start = typed.rsplit_once(' ').unwrap().0;
        assert!(said.contains(&format!("{start} {is}")), "{typed}: {said:?}");
    }
}
