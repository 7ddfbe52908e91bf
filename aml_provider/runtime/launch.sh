#!/bin/sh
# Starts a step: "/bin/sh launch.sh" with AML_JOB_DIR naming the attempt's folder. It may be a container's process 1.
#
# With a Python of 3.8 or newer (AML_PYTHON, python3, python) it hands over to the package aml_runtime beside this file.
# Without one it runs shell jobs itself, as job.sh beside job.json describes them: plain assignments of
#   AML_SHELL_LINE            the command line
#   AML_WORKING_DIRECTORY     where it runs
#   AML_ATTEMPT, AML_TIMEOUT_SECONDS, AML_OUTPUTS   optional; AML_OUTPUTS has a line "directory|file NAME PATH" per output
# and exports of the job's environment. bundle.py writes such a file.
#
# Everything here has to work in busybox with only these programs:
# sh ls cat echo cp mv rm mkdir sleep env test true false wc date sed grep trap tar touch chmod id

here=${0%/*}
[ "$here" = "$0" ] && here=.
here=$(cd "$here" && pwd) || exit 125
case $AML_JOB_DIR in
    /*) ;;
    ?*) AML_JOB_DIR=$PWD/$AML_JOB_DIR ;;
esac
export AML_JOB_DIR

# ---------------------------------------------------------------------------------------------- with Python
too_old=
for python in "$AML_PYTHON" python3 python; do
    [ -n "$python" ] && command -v "$python" >/dev/null 2>&1 || continue
    # Without site-packages and PYTHON* variables: nothing of the image or the author gets in the supervisor's way.
    if "$python" -ES -c 'import sys; sys.exit(sys.version_info < (3, 8))' </dev/null >/dev/null 2>&1; then
        case $python in
            /*) ;;
            */*) python=$PWD/$python ;;
        esac
        export PYTHONPATH="$here:$here/shim${PYTHONPATH:+:$PYTHONPATH}"
        cd "$here" && exec "$python" -ES -m aml_runtime
    fi
    too_old="$too_old $python"
done

# ------------------------------------------------------------------------------------------- without Python
say() {
    cat >&2 <<END
aml: $*
END
    [ -z "$log" ] || cat >>"$log" <<END
aml: $*
END
}

# The value of a string in JSON: quotes and backslashes escaped, control characters left out.
json_text() {
    # Not echo: some shells' echo interprets backslashes.
    sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/[[:cntrl:]]//g' <<END
$1
END
}

# How often the kernel has killed a process of this container for its memory.
oom_kills() {
    for file in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
        kills=$(sed -n 's/^oom_kill \([0-9]*\)$/\1/p' "$file" 2>/dev/null)
        [ -n "$kills" ] && echo "$kills" && return
    done
    echo 0
}

# One output as JSON: describe NAME PATH
describe() {
    if [ -d "$2" ]; then
        totals=$(ls -lnaR "$2" 2>/dev/null | sed -n 's/^-[^ ]* *[0-9]* *[0-9]* *[0-9]* *\([0-9]*\) .*/\1/p' | {
            files=0 bytes=0
            while read -r size; do
                files=$((files + 1)) bytes=$((bytes + size))
            done
            echo "\"files\": $files, \"bytes\": $bytes"
        })
        facts="\"exists\": true, \"directory\": true, $totals"
    elif [ -e "$2" ]; then
        bytes=$(wc -c <"$2" | sed 's/[^0-9]//g')
        facts="\"exists\": true, \"directory\": false, \"files\": 1, \"bytes\": $bytes"
    else
        facts='"exists": false, "directory": false, "files": 0, "bytes": 0'
    fi
    cat <<END
"$(json_text "$1")": {$facts}
END
}

# What the commands have used of the processor so far, in user and in system mode. Only this shell itself can tell: what
# $(times) prints is of another one.
used() {
    times >"$AML_JOB_DIR/times.tmp" && cpu=$(sed -n 2p "$AML_JOB_DIR/times.tmp")
    rm -f "$AML_JOB_DIR/times.tmp"
}

# Ends the step: finish EXIT_CODE ERROR. The report is the last thing written; without it the step is not done.
finish() {
    code=$1 error=null signal=null outputs=
    [ -n "$2" ] && error="\"$(json_text "$2")\"" && say "$2"
    [ "$code" -gt 128 ] && [ "$code" -le 192 ] && signal=$((code - 128))
    while read -r kind name path; do
        [ -n "$path" ] && outputs="$outputs${outputs:+, }$(describe "$name" "$path")"
    done <<END
$AML_OUTPUTS
END
    umask 0
    if {
        cat >"$AML_JOB_DIR/report.json.tmp" &&
            mv -f "$AML_JOB_DIR/report.json.tmp" "$AML_JOB_DIR/report.json"
    } 2>/dev/null <<END; then
{"report_version": 1, "attempt": ${AML_ATTEMPT:-1}, "exit_code": $code, "signal": $signal,
 "timed_out": ${timed_out:-false}, "stopped": ${stopped:-false}, "oom_killed": ${oom_killed:-false}, "error": $error,
 "started": $started, "ended": $(date +%s), "outputs": {$outputs}, "usage": {"times": "$(json_text "$cpu")"}}
END
        exit "$code"
    fi
    say "The report $AML_JOB_DIR/report.json could not be written: the step does not count as done. Make room there."
    [ "$code" -ne 0 ] && exit "$code"
    exit 125
}

# Sends a signal to what the command started. Process 1 reaches everything in its container; elsewhere, the command.
signal_command() {
    if [ "$$" = 1 ]; then
        kill "-$1" -1 2>/dev/null
    else
        kill "-$1" "$command" 2>/dev/null
    fi
}

# Asks the command to end and, when the grace period is over, makes it.
stop() {
    interrupted=1
    [ -n "$stopped_by" ] || stopped_by=$1
    signal_command TERM # not INT: a shell without job control starts its background commands deaf to it
    [ -n "$killer" ] && return
    (
        trap '' TERM INT HUP
        sleep "${AML_GRACE_SECONDS:-10}"
        signal_command KILL
    ) >/dev/null 2>&1 3<&- &
    killer=$!
}

# Copies what the log has gained to stdout: the open file 3 remembers how far it was read. Every five seconds the file
# "alive" shows others that the step lives.
follow() {
    done= turns=0
    trap '' TERM INT HUP
    trap 'done=1' USR1
    while [ -z "$done" ]; do
        cat <&3 2>/dev/null
        [ $((turns % 25)) -ne 0 ] || touch "$AML_JOB_DIR/alive" 2>/dev/null
        turns=$((turns + 1))
        sleep 0.2 &
        wait $! 2>/dev/null
    done
    cat <&3 2>/dev/null
}

# Brings the files of ./outputs or ./logs to the run.
collect() {
    [ -d "$AML_WORKING_DIRECTORY/$1" ] && [ -n "$(ls -A "$AML_WORKING_DIRECTORY/$1")" ] || return 0
    mkdir -p "$AML_JOB_DIR/artifacts/$1" && cp -RL "$AML_WORKING_DIRECTORY/$1/." "$AML_JOB_DIR/artifacts/$1/" &&
        chmod -R a+rX "$AML_JOB_DIR/artifacts" 2>/dev/null
}

log= cpu=
started=$(date +%s)
attempt=${AML_JOB_DIR%/} attempt=${attempt##*/}
case $attempt in
    '' | *[!0-9]*) attempt=1 ;;
esac
AML_ATTEMPT=$attempt AML_OUTPUTS= AML_SHELL_LINE= AML_TIMEOUT_SECONDS=
if [ ! -d "$AML_JOB_DIR" ]; then
    say "AML_JOB_DIR is '$AML_JOB_DIR', it must name the attempt's folder: the step was not started by a worker."
    exit 125
fi
[ -r "$AML_JOB_DIR/job.sh" ] && . "$AML_JOB_DIR/job.sh"
if [ -z "$AML_SHELL_LINE" ]; then
    if ! grep -q '"kind": *"python"' "$AML_JOB_DIR/job.json" 2>/dev/null; then
        finish 125 "The job description $AML_JOB_DIR/job.sh cannot be read or has no AML_SHELL_LINE."
    elif [ -n "$too_old" ]; then
        finish 127 "The image has no usable Python: tried$too_old, a Python script step needs 3.8 or newer."
    fi
    finish 127 "The image has no Python, which a Python script step needs: use another image, or a CommandStep."
fi
if ! cd "$AML_WORKING_DIRECTORY" 2>/dev/null; then
    finish 125 "The working directory $AML_WORKING_DIRECTORY does not exist in the step."
fi

while read -r kind name path; do
    case $kind in
        directory) mkdir -p "$path" ;;
        file) mkdir -p "${path%/*}" ;;
        *) continue ;;
    esac || finish 125 "The folder of the output $name cannot be created: $path."
done <<END
$AML_OUTPUTS
END
mkdir -p outputs logs 2>/dev/null
mask=$(umask)
umask 0
mkdir -p "$AML_JOB_DIR/logs"
log=$AML_JOB_DIR/logs/std_log.txt
: >>"$log" || finish 125 "The log file $log cannot be written."
umask "$mask"

stopped_by= killer= interrupted= timed_out=false oom_killed=false
kills_before=$(oom_kills)
exec 3<"$log"
follow &
follower=$!
trap 'stop TERM' TERM
trap 'stop INT' INT
trap 'stop HUP' HUP
trap 'timed_out=true; stop TIMEOUT' USR2
(
    exec 3<&-
    trap - TERM INT HUP USR2
    unset AML_PYTHON AML_GRACE_SECONDS
    exec /bin/sh -c "$AML_SHELL_LINE"
) >>"$log" 2>&1 </dev/null &
command=$!
if [ -n "$AML_TIMEOUT_SECONDS" ]; then
    (
        trap '' TERM INT HUP
        sleep "$AML_TIMEOUT_SECONDS"
        kill -USR2 $$
    ) >/dev/null 2>&1 3<&- &
    clock=$!
fi

# A signal ends "wait" early: wait again. 127 then means that the status had been told the first time.
code=127
while :; do
    interrupted=
    wait "$command"
    status=$?
    [ "$status" -eq 127 ] && [ "$code" -ne 127 ] || code=$status
    [ -n "$interrupted" ] && [ "$status" -ne 127 ] || break
done
trap '' TERM INT HUP USR2
kill -KILL $killer $clock 2>/dev/null

# Waits for a process to end, at most 5 seconds: a reader that takes nothing must not keep the step.
wait_shortly() {
    (
        sleep 5
        kill -KILL "$1" 2>/dev/null
    ) >/dev/null 2>&1 3<&- &
    limit=$!
    wait "$1" 2>/dev/null
    kill -KILL "$limit" 2>/dev/null
}

# The last of the output goes to stdout: by the follower, or what it left if it was killed or had not begun yet.
kill -USR1 "$follower" 2>/dev/null
wait_shortly "$follower"
cat <&3 2>/dev/null &
wait_shortly $!

error=
used 2>/dev/null
[ "$(oom_kills)" -gt "$kills_before" ] && [ "$code" -ne 0 ] && [ -z "$stopped_by" ] && oom_killed=true
if [ "$timed_out" = true ]; then
    error="The step ran longer than its limit of $AML_TIMEOUT_SECONDS seconds and was stopped."
    [ "$code" -eq 0 ] && code=124
elif [ -n "$stopped_by" ]; then
    stopped=true
    # A command that was told to stop did not finish, whatever it says.
    error="The step was stopped by SIG$stopped_by."
    [ "$code" -eq 0 ] && code=143
elif [ "$oom_killed" = true ]; then
    error="Memory ran out: the kernel killed a process of the step. Give its compute target more memory."
elif [ "$code" -ne 0 ]; then
    error="The command ended with exit code $code."
fi
for folder in outputs logs; do
    if ! collect "$folder"; then
        error="${error:+$error }Files of ./$folder could not be collected for the run."
        [ "$code" -eq 0 ] && code=1
    fi
done
finish "$code" "$error"
