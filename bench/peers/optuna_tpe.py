"""Drives `ccl-agent objective` with Optuna's TPE.

Prints, seed by seed and as a median, the evaluations after which the configuration that Optuna believes best is
within 2 % of the oracle for good. What Optuna sees is noisy; what it believes best is judged by a second, noise-free
objective.
"""

import argparse
import json
import statistics
import subprocess

import optuna


class Objective:
    """One `ccl-agent objective`."""

    def __init__(self, args, seed, noise):
        command = [args.agent, "objective", "--workload", args.workload, "--cluster", args.cluster]
        command += ["--seed", str(seed), "--noise", noise, "--oracle"]
        command += ["--machine-spread", str(args.machine_spread)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.first = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"ccl-agent ended with code {self.process.wait()}")
        return json.loads(line)

    def iteration_ms(self, configuration):
        self.process.stdin.write(json.dumps({"configuration": configuration}) + "\n")
        self.process.stdin.flush()
        answer = self.read()
        if "error" in answer:
            raise SystemExit(answer["error"])
        return answer["iteration_ms"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def suggest(trial, parameters):
    """A configuration; parameters that do not exist under it are not asked for."""
    configuration = {}
    for parameter in parameters:
        when = parameter.get("when")
        if when and configuration.get(when["parameter"]) not in when["levels"]:
            continue
        name, levels = parameter["name"], parameter["levels"]
        if parameter["kind"] == "ordered":
            # The index keeps the order, whatever the levels are called.
            configuration[name] = levels[trial.suggest_int(name, 0, len(levels) - 1)]
        else:
            configuration[name] = trial.suggest_categorical(name, levels)
    return configuration


def as_parameters(configuration, parameters):
    """What Optuna would have suggested for a configuration."""
    kinds = {p["name"]: p for p in parameters}
    return {
        name: kinds[name]["levels"].index(value) if kinds[name]["kind"] == "ordered" else value
        for name, value in configuration.items()
    }


def run(args, seed):
    noisy, exact = Objective(args, seed, "on"), Objective(args, seed, "off")
    space, oracle_ms = noisy.first["space"], noisy.first["oracle_ms"]
    sampler = optuna.samplers.TPESampler(seed=seed)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial(as_parameters(space["default"], space["parameters"]))
    reached = 0 if noisy.first["default_ms"] <= 1.02 * oracle_ms else None
    for evaluation in range(1, args.budget + 1):
        trial = study.ask()
        configuration = suggest(trial, space["parameters"])
        trial.set_user_attr("configuration", configuration)
        study.tell(trial, noisy.iteration_ms(configuration))
        best = exact.iteration_ms(study.best_trial.user_attrs["configuration"])
        if best > 1.02 * oracle_ms:
            reached = None
        elif reached is None:
            reached = evaluation
    noisy.close()
    exact.close()
    said = f"more than {args.budget}" if reached is None else reached
    print(
        f"seed {seed}: oracle {oracle_ms:.3f} ms, default {noisy.first['default_ms']:.3f} ms, "
        f"best believed {best:.3f} ms, evaluations to 2 %: {said}"
    )
    return args.budget if reached is None else reached


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="target/release/ccl-agent")
    parser.add_argument("--workload", default="workload/autoccl/phi2-2b.json")
    parser.add_argument("--cluster", default="a40-pcie-8gpu")
    parser.add_argument("--machine-spread", type=float, default=0.12)
    parser.add_argument("--budget", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = [run(args, seed) for seed in range(1, args.seeds + 1)]
    print(f"median: {statistics.median(found)} evaluations to within 2 %")


if __name__ == "__main__":
    main()
