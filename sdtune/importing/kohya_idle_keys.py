"""kohya's keys that change no result here, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from sdtune.importing.outcome import Entry, idle

__all__ = ["IDLE_KEYS"]

_REASONS: Mapping[str, str] = {
    "a run's folder is below `trainer.default_root_dir`": "output_dir output_name output_config",
    "TensorBoard is in the run's folder; another logger by `trainer.logger`": (
        "logging_dir log_with log_prefix log_tracker_name log_tracker_config log_config "
        "wandb_run_name wandb_api_key console_log_level console_log_file console_log_simple"
    ),
    "attention is PyTorch's own, always": "xformers mem_eff_attn sdpa split_attn attn_mode",
    "it saves memory and changes no result": (
        "lowram highvram fused_backward_pass fused_optimizer_groups "
        "blocks_to_swap cpu_offload_checkpointing disable_mmap_load_safetensors"
    ),
    "norms and the VAE are in the precision that they need": "no_half_vae",
    "processes and their strategy are the Trainer's": (
        "ddp_timeout ddp_gradient_as_bucket_view ddp_static_graph deepspeed zero_stage "
        "offload_optimizer_device offload_optimizer_nvme_path offload_param_device "
        "offload_param_nvme_path zero3_init_flag zero3_save_16bit_model "
        "fp16_master_weights_and_gradients "
        "num_cpu_threads_per_process num_processes num_machines"
    ),
    "blocks are compiled by PyTorch's own back-end": "dynamo_backend dynamo_mode",
    "files are safetensors, for kohya, diffusers and PEFT": "save_model_as use_safetensors",
    "the file's header holds what it was trained by and with": (
        "no_metadata training_comment metadata_title metadata_author metadata_description "
        "metadata_license metadata_tags metadata_merged_from metadata_trigger_phrase "
        "metadata_usage_hint metadata_thumbnail"
    ),
    "nothing is uploaded; `sdtune publish` makes a folder for it": (
        "huggingface_repo_id huggingface_repo_type huggingface_path_in_repo huggingface_token "
        "huggingface_repo_visibility save_state_to_huggingface resume_from_huggingface "
        "async_upload"
    ),
    "workers stay if there are any": "persistent_data_loader_workers",
    "models are kept where Hugging Face keeps them": "tokenizer_cache_dir",
    "it names or debugs a run, and trains nothing": (
        "debug_dataset config_file dataset_class validate_every_n_steps validate_every_n_epochs "
        "max_validation_steps"
    ),
}

IDLE_KEYS: dict[str, Entry] = {
    key: idle(reason) for reason, keys in _REASONS.items() for key in keys.split()
}
"""Key -> what becomes of it."""
