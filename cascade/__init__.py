"""What the models are: text encoder, U-Nets, diffusion, samplers, and reading their weights back.

diffusion   log-SNR schedules, heads, weightings, loss        conditioning, layers, adm, efficient   the nets
stage       StageConfig and build()                           text        T5, MiniLM: captions to per-token states
resize      the one resize kernel of data and sampler         sampler     ddpm, ddim, dpmpp_2m, heun; guidance
weights     a committed checkpoint's config and tensors       sample      the cascade: captions to pictures
explain     parameter counts and derived figures of a stage
"""
