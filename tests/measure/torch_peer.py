"""The same transformer in PyTorch, as its users write it: the peer that `make bench` times, and a second opinion on the
gradients.

Importing it raises ImportError where torch is not installed (`pip install torch`).
"""
import time

import torch
import torch.nn.functional as F
from torch.nn import Parameter, ParameterList

EPSILON = 1e-5                                            # RMSNorm's


class Net(torch.nn.Module):
    """Chapter III with batched products. All that a layer reads of the normed stream is one matrix: q, k, v, RRPRAM's
    v, RRPRAM's r."""

    def __init__(self, shape, vocab):
        super().__init__()
        embd, wide = shape.embd, 3 * shape.content_dim + shape.rrpram_dim + shape.rrpram * shape.context

        def weight(n, m):
            return Parameter((torch.rand(n, m) - 0.5) / embd ** 0.5)

        self.shape = shape
        self.wte, self.wpe, self.head = weight(vocab, embd), weight(shape.context, embd), weight(vocab, embd)
        self.read = ParameterList([weight(wide, embd) for _ in range(shape.layers)])
        self.out = ParameterList([weight(embd, embd) for _ in range(shape.layers)])
        self.up = ParameterList([weight(shape.mlp * embd, embd) for _ in range(shape.layers)])
        self.down = ParameterList([weight(embd, shape.mlp * embd) for _ in range(shape.layers)])
        self.register_buffer("ahead", torch.full((shape.context, shape.context), -torch.inf).triu(1))

    def attention(self, x, read):
        """What all heads bring, before the output matrix.  [B][n][embd] -> [B][n][embd]"""
        shape, (batch, n, embd) = self.shape, x.shape
        parts = F.linear(x, read).split((*[shape.content_dim] * 3, shape.rrpram_dim, shape.rrpram * shape.context), -1)
        q, k, v, rv = [part.view(batch, n, -1, shape.head_dim).transpose(1, 2) for part in parts[:4]]
        r = parts[4].view(batch, n, shape.rrpram, shape.context).transpose(1, 2)[..., :n]
        content = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        rrpram = (r + self.ahead[:n, :n]).softmax(-1) @ rv
        return torch.cat((content, rrpram), 1).transpose(1, 2).reshape(batch, n, embd)

    def forward(self, windows):
        """The mean surprise of windows of n + 1 ids.  [B][n + 1] -> []"""
        ids, embd = windows[:, :-1], (self.shape.embd,)
        x = F.embedding(ids, self.wte) + self.wpe[:ids.shape[1]]
        for read, out, up, down in zip(self.read, self.out, self.up, self.down):
            x = x + F.linear(self.attention(F.rms_norm(x, embd, eps=EPSILON), read), out)
            x = x + F.linear(F.relu(F.linear(F.rms_norm(x, embd, eps=EPSILON), up)), down)
        logits = F.linear(F.rms_norm(x, embd, eps=EPSILON), self.head)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), windows[:, 1:].reshape(-1))


def packed(net):
    """A postgpt.Transformer's matrices as tensors of doubles, named, joined and turned as Net has them."""
    def turned(*matrices):
        return torch.cat([torch.tensor(matrix, dtype=torch.float64) for matrix in matrices], 1).T.contiguous()

    found = {"wte": torch.tensor(net.wte, dtype=torch.float64), "wpe": torch.tensor(net.wpe, dtype=torch.float64),
             "head": turned(net.head)}
    for i, layer in enumerate(net.layers):
        found["read.%d" % i] = turned(layer.q, layer.k, layer.v, layer.rv, *layer.r)
        found["out.%d" % i], found["up.%d" % i], found["down.%d" % i] = turned(layer.out), turned(layer.up), turned(
            layer.down)
    return found


def gradients_apart(net, windows, gradient):
    """The largest relative difference between the gradient of a postgpt.Transformer (one of gradients) and autograd's
    in doubles.

    Relative to the larger of the two; a slope under a millionth of its matrix' largest counts as that, for it is a
    difference of larger ones and has their rounding.
    """
    peer, apart = Net(net.shape, net.vocab).double(), []
    peer.load_state_dict(packed(net), strict=False)
    peer(torch.tensor(windows)).backward()
    ours = packed(gradient)
    for name, parameter in peer.named_parameters():
        a, b = ours[name], parameter.grad
        size = torch.maximum(a.abs(), b.abs())
        apart.append(((a - b).abs() / size.clamp(min=max(1e-6 * float(size.max()), 1e-300))).max())
    return torch.stack(apart).max().item()            # not a number where one is


def step_seconds(shape, vocab, ids, batch, compiled, threads, spend=4.0):
    """The least time of a training step: AdamW (fused, which was quicker than foreach) and clipping by norm, in floats.

    Of many short rounds within the seconds to spend: where another program takes a processor, torch's threads wait for
    each other.
    """
    torch.set_num_threads(threads)
    net, ids = Net(shape, vocab), torch.tensor(ids)
    loss_of = torch.compile(net) if compiled else net
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.003, weight_decay=0.01, fused=True)
    places = torch.arange(shape.context + 1)

    def steps(n):
        """The mean time of n steps."""
        start = time.perf_counter()
        for _ in range(n):
            loss_of(ids[torch.randint(len(ids) - shape.context, (batch, 1)) + places]).backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return (time.perf_counter() - start) / n

    steps(10)                                             # the first ones compile, allocate and start threads
    end, best = time.perf_counter() + spend, steps(10)
    while time.perf_counter() < end:
        best = min(best, steps(10))
    return best
