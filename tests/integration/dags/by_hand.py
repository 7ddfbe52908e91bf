"""A hand-written DAG whose task says that it computes, and then waits for a file."""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

from aml_provider.operators.record import StepRecordOperator
from aml_provider.sensors.reuse import StepReuseSensor

COMMAND = """
echo $$ >> "$STORE/by-hand/$SALT.computed"
until [ -e "$STORE/by-hand/$SALT.gate" ]; do sleep 0.1; done
mkdir -p "$OUT" && echo done > "$OUT/said"
"""

with DAG("by-hand", schedule=None, params={"salt": "", "store": ""}):
    look = StepReuseSensor(
        task_id="look",
        step="by-hand",
        parameters={"salt": "{{ params.salt }}"},
        outputs={"out": "workspaceblobstore:by-hand/{run-id}"},
        deferrable=True,
        poke_interval=1.0,
    )
    compute = BashOperator(
        task_id="compute",
        bash_command=COMMAND,
        env={
            "SALT": "{{ params.salt }}",
            "STORE": "{{ params.store }}",
            "OUT": "{{ params.store }}/{{ ti.xcom_pull(task_ids='look')['out']['path'] }}",
        },
        append_env=True,
    )
    look >> compute >> StepRecordOperator(task_id="keep", sensor=look)
