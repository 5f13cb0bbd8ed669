#!/usr/bin/env python3
"""A training step of tnas and of PyTorch, alternately: medians of processor time and their ratios.

cargo build --release --no-default-features --features flex --example train_step -p tnas-training
train_step.py DIR [--binary target/release/examples/train_step] [--rounds 5] [--steps 10] [--only image,video,motion] [--operations]

DIR holds a folder per case (image, video, motion) as diffusers' save_pretrained writes it: image is a UNet2DConditionModel, the
others are UNetMotionModels; CASES gives the shape of a batch and which weights train. Both sides: two threads, f32, the same
weights, rectified flow, AdamW. The first losses on one batch are compared: the same to 1e-5, or the networks differ.
--operations times single operations too, at the shapes that operations.rs names.
"""
import argparse, json, math, os, statistics, subprocess, sys, tempfile, time
import torch, torch.nn.functional as F
from diffusers import UNet2DConditionModel, UNetMotionModel
from safetensors.torch import save_file

# Batch, frames, size, part of the names of weights that train (all where empty).
CASES = {"image": (16, 1, 8, ""), "video": (4, 8, 8, "motion_modules"), "motion": (1, 8, 32, "")}
TOKENS = 24


class Case:
    def __init__(self, folder, name):
        self.folder, self.name = os.path.join(folder, name), name
        batch, frames, size, part = CASES[name]
        video = name != "image"
        kind = UNetMotionModel if video else UNet2DConditionModel
        self.net = kind.from_pretrained(self.folder)
        for key, weight in self.net.named_parameters():
            weight.requires_grad_(part in key)
        self.optimizer = torch.optim.AdamW([w for w in self.net.parameters() if w.requires_grad], 1e-4)
        torch.manual_seed(1)
        shape = (batch, self.net.config.in_channels, *([frames] if video else []), size, size)
        self.x0, self.noise, self.t = torch.randn(shape), torch.randn(shape), torch.rand(batch)
        self.text = torch.randn(batch, TOKENS, self.net.config.cross_attention_dim)
        self.context = self.text.repeat_interleave(frames, 0)
        self.inputs = os.path.join(tempfile.mkdtemp(), "inputs.safetensors")
        save_file({"x0": self.x0, "noise": self.noise, "t": self.t, "context": self.text}, self.inputs)
        self.arguments = [self.folder, "--batch", str(batch), "--frames", str(frames), "--size", str(size),
                          "--tokens", str(TOKENS), "--inputs", self.inputs] + (["--train", part] if part else [])

    def step(self):
        t = self.t.view(-1, *[1] * (self.x0.dim() - 1))
        v = self.net((1 - t) * self.x0 + t * self.noise, self.t * 1000, encoder_hidden_states=self.context,
                     return_dict=False)[0]
        loss = ((v - (self.noise - self.x0)) ** 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def torch_round(self, steps, warm_up=3):
        for _ in range(warm_up):
            self.step()
        wall, cpu = [], []
        for _ in range(steps):
            w, c = time.perf_counter(), time.process_time()
            self.step()
            wall.append(1e3 * (time.perf_counter() - w))
            cpu.append(1e3 * (time.process_time() - c))
        return {"cpu_ms": statistics.median(cpu), "wall_ms": statistics.median(wall)}


def ours(binary, arguments, threads):
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))
    out = subprocess.run([binary, *arguments], env=environment, capture_output=True, text=True)
    if out.returncode:
        sys.exit(f"{binary} {' '.join(arguments)}: {out.stderr}")
    return [json.loads(line) for line in out.stdout.splitlines()]


def conv(shape, out, kernel):
    weight, bias = torch.randn(out, shape[1], kernel, kernel) * 0.02, torch.zeros(out)
    return [weight, bias], lambda x, w, b: F.conv2d(x, w, b, padding=kernel // 2)


def linear(shape, out):
    return [torch.randn(out, shape[1]) * 0.05, torch.zeros(out)], F.linear


def norm_silu(shape):
    return [torch.ones(shape[1]), torch.zeros(shape[1])], lambda x, w, b: F.silu(F.group_norm(x, 16, w, b))


def layer_norm(shape):
    return [torch.ones(shape[1]), torch.zeros(shape[1])], lambda x, w, b: F.layer_norm(x, shape[1:], w, b)


def geglu(x):
    value, gate = x.chunk(2, -1)
    return value * F.gelu(gate)


def operation(name):
    """Input's shape, weights and function of a name in operations.rs."""
    kind, _, rest = name.partition(" [")
    shape, _, out = rest.partition("]")
    shape = [int(n) for n in shape.split(",")]
    out = int(out.split()[-1]) if out.strip() else shape[1]
    if kind.startswith("conv"):
        return shape, *conv(shape, out, int(kind[-1]))
    made = {"linear": lambda: linear(shape, out), "GroupNorm+SiLU": lambda: norm_silu(shape),
            "LayerNorm": lambda: layer_norm(shape),
            "attention": lambda: ([], lambda x: F.scaled_dot_product_attention(x, x, x)),
            "softmax": lambda: ([], lambda x: F.softmax(x, -1)), "GELU": lambda: ([], F.gelu),
            "GEGLU": lambda: ([], geglu), "SiLU": lambda: ([], F.silu)}
    return shape, *made[kind]()


def cpu_of(work, samples, repeats=8):
    times = []
    for _ in range(samples):
        work()
        started = time.process_time()
        for _ in range(repeats):
            work()
        times.append(1e3 * (time.process_time() - started) / repeats)
    return statistics.median(times)


def torch_operation(name, samples):
    if name.startswith("AdamW"):
        weights = [torch.randn(100_000, requires_grad=True) for _ in range(53)]
        for weight in weights:
            weight.grad = weight.detach() * 0.1
        optimizer = torch.optim.AdamW(weights, 1e-4)
        return None, cpu_of(optimizer.step, samples)
    shape, weights, function = operation(name)
    x = torch.randn(shape)
    tracked = [tensor.clone().requires_grad_() for tensor in [x, *weights]]

    def forward():
        with torch.no_grad():
            function(x, *weights)

    def both():
        for tensor in tracked:
            tensor.grad = None
        function(*tracked).sum().backward()

    return cpu_of(forward, samples), cpu_of(both, samples)


def compare_operations(arguments):
    print(f"{'operation':32} {'ours fwd':>9} {'torch':>8} {'ratio':>6} {'ours f+b':>9} {'torch':>8} {'ratio':>6}")
    runs = []
    for _ in range(arguments.rounds):
        mine = {row["operation"]: row for row in ours(arguments.binary, ["--operations", "--steps", "5"], arguments.threads)}
        runs.append((mine, {name: torch_operation(name, 5) for name in mine}))
    median = lambda values: statistics.median(values)
    for name in runs[0][0]:
        both = [median([mine[name]["forward_backward_cpu_ms"] for mine, _ in runs]), median([peer[name][1] for _, peer in runs])]
        forward = [float("nan")] * 2
        if runs[0][1][name][0] is not None:
            forward = [median([mine[name]["forward_cpu_ms"] for mine, _ in runs]), median([peer[name][0] for _, peer in runs])]
        print(f"{name:32} {forward[0]:9.3f} {forward[1]:8.3f} {forward[0] / forward[1]:6.2f} "
              f"{both[0]:9.3f} {both[1]:8.3f} {both[0] / both[1]:6.2f}", flush=True)


def compare_steps(arguments):
    ratios = []
    for name in arguments.only.split(","):
        case = Case(arguments.folder, name)
        rounds, loss = [], None
        for _ in range(arguments.rounds):
            mine = ours(arguments.binary, [*case.arguments, "--steps", str(arguments.steps)], arguments.threads)[0]
            if loss is None:
                loss = case.step()
                difference = abs(mine["loss"] - loss) / abs(loss)
                print(f"{name}: first loss {mine['loss']:.7f} here, {loss:.7f} in torch, relative difference {difference:.1e}")
                if difference > 1e-5:
                    sys.exit(f"{name}: these are not the same networks")
            rounds.append((mine, case.torch_round(arguments.steps)))
        column = lambda side, key: statistics.median(round[side][key] for round in rounds)
        ratio = statistics.median(mine["cpu_ms"] / peer["cpu_ms"] for mine, peer in rounds)
        ratios.append(ratio)
        print(f"{name}: processor ms {column(0, 'cpu_ms'):.1f} here, {column(1, 'cpu_ms'):.1f} in torch, ratio {ratio:.3f} "
              f"({' '.join(f'''{mine['cpu_ms'] / peer['cpu_ms']:.2f}''' for mine, peer in rounds)}); "
              f"wall ms {column(0, 'wall_ms'):.1f} and {column(1, 'wall_ms'):.1f}", flush=True)
    print(f"geometric mean {math.exp(statistics.mean(map(math.log, ratios))):.3f}, largest {max(ratios):.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--binary", default="target/release/examples/train_step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--only", default="image,video,motion")
    parser.add_argument("--operations", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.threads} threads, {arguments.rounds} rounds of {arguments.steps} steps")
    if arguments.only:
        compare_steps(arguments)
    if arguments.operations:
        compare_operations(arguments)
