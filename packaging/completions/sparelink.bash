# Completes sparelink's commands in bash. Made by `sparelink completions bash`.
_sparelink() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    local command= at
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in
            --config | --run-dir) ((at++)) ;;
            -*) ;;
            *) command=${COMP_WORDS[at]} && break ;;
        esac
    done
    case $before in
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); return ;;
        --run-dir) compopt -o filenames; COMPREPLY=($(compgen -d -- "$word")); return ;;
        --lines | -n) COMPREPLY=(); return ;;
        --since) COMPREPLY=(); return ;;
        --uplink) COMPREPLY=($(compgen -W "$(sparelink completions uplinks 2>/dev/null) " -- "$word")); return ;;
        --month) COMPREPLY=(); return ;;
        --head) COMPREPLY=(); return ;;
        --uci) compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); return ;;
        --for) COMPREPLY=(); return ;;
        --reason) COMPREPLY=(); return ;;
        --from) COMPREPLY=($(compgen -W "mwan3 networkmanager" -- "$word")); return ;;
        --within) COMPREPLY=(); return ;;
        --record) compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    case $command in
        '') COMPREPLY=($(compgen -W "status why history report notify check doctor plan replay switch pause resume note probe reload setup run passwd completions purge --help --version" -- "$word")) ;;
        status) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--json --watch -w --config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "" -- "$word")); fi ;;
        why) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--json --config --run-dir --help -h" -- "$word")); else COMPREPLY=(); fi ;;
        history) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--lines -n --since --uplink --follow -f --all --json --config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "" -- "$word")); fi ;;
        report) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--month --uplink --json --csv --html --verify --head --config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "" -- "$word")); fi ;;
        notify) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "test ack" -- "$word")); fi ;;
        check) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--json --service --config --uci --help -h" -- "$word")); else compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); fi ;;
        doctor) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--json --config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "" -- "$word")); fi ;;
        plan) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--full --config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "" -- "$word")); fi ;;
        replay) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--config --run-dir --help -h" -- "$word")); else compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); fi ;;
        switch) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--for --config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "$(sparelink completions uplinks 2>/dev/null) auto" -- "$word")); fi ;;
        pause) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--for --reason --config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "$(sparelink completions uplinks 2>/dev/null) " -- "$word")); fi ;;
        resume) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "$(sparelink completions uplinks 2>/dev/null) " -- "$word")); fi ;;
        note) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--clear --reported --config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "$(sparelink completions uplinks 2>/dev/null) " -- "$word")); fi ;;
        probe) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "$(sparelink completions uplinks 2>/dev/null) " -- "$word")); fi ;;
        reload) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "" -- "$word")); fi ;;
        setup) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--from --print --yes -y --keep --undo --within --config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "" -- "$word")); fi ;;
        run) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--auto --observe --record --verbose -v --config --uci --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "" -- "$word")); fi ;;
        passwd) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--remove --code --config --help -h" -- "$word")); else COMPREPLY=($(compgen -W "" -- "$word")); fi ;;
        completions) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--config --help -h" -- "$word")); else COMPREPLY=($(compgen -W "bash zsh fish" -- "$word")); fi ;;
        purge) if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "--config --run-dir --help -h" -- "$word")); else COMPREPLY=($(compgen -W "" -- "$word")); fi ;;
    esac
}
complete -F _sparelink sparelink
