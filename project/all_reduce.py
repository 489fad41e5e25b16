"""What each process of `corgi doctor` runs under torchrun: add its number to the others', by NCCL where it can."""

import os

import torch
import torch.distributed as dist


def main() -> None:
    """Meet the others and add up; the first says by what, and how many they are. Raises where the sum is wrong."""
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if backend == "nccl" else torch.device("cpu")
    dist.init_process_group(backend)
    total = torch.tensor([float(dist.get_rank() + 1)], device=device)
    dist.all_reduce(total)
    size = dist.get_world_size()
    if total.item() != size * (size + 1) / 2:
        raise RuntimeError(f"{backend}: a sum over {size} processes came to {total.item()}")
    if dist.get_rank() == 0:
        print(backend, size)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
