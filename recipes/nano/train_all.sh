#!/usr/bin/env bash
# Trains the whole of nano and writes its card: VAE, both CLIPs, UNet, figures. On one data-centre
# GPU in bf16 it is meant to take about 20 minutes.
#
#   python -m sdtune.nano sprites build/nano/sprites.zip       # once, anywhere: sdtune[nano] and npm
#   python -m sdtune.nano tokenizer build/nano/tokenizer       # once
#   recipes/nano/train_all.sh                                  # again until it says that it is done
#
# It stops by itself after NANO_MINUTES (9) and goes on where it was when it is called again, so it
# fits into jobs of ten minutes. NANO_FOLDER (build/nano) holds the two inputs and all that is made;
# the result is in its package/. Options after the name go to every training, for instance
# --trainer.accelerator=cpu --trainer.precision=32-true.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

folder=${NANO_FOLDER:-build/nano}
seconds_in_all=$((60 * ${NANO_MINUTES:-9}))
package=$folder/package

for input in "$folder/sprites.zip" "$folder/tokenizer/tokenizer_config.json"; do
    [ -e "$input" ] && continue
    echo "Expected $input, but it is missing: see the first lines of $0." >&2
    exit 2
done

# train NAME OPTION...: trains recipes/nano/NAME.yaml to its end, or stops this call
train() {
    local name=$1 run=$folder/runs/$1/run
    shift
    [ -e "$folder/$name.ckpt" ] && return
    local left=$((seconds_in_all - SECONDS))
    if [ "$left" -lt 20 ]; then
        echo "Time is up before $name: call again."
        exit 0
    fi
    local options=(
        --config "recipes/nano/$name.yaml"
        --trainer.default_root_dir "$folder/runs"
        --trainer.max_time "$(printf '00:00:%02d:%02d' $((left / 60)) $((left % 60)))"
        --data.sprites "$folder/sprites.zip"
    )
    if [ -e "$run/checkpoints/last.ckpt" ]; then
        options+=(--resume "$run")
    else
        options+=(--run run)
    fi
    python -m sdtune fit "${options[@]}" "$@"
    if python -m sdtune.nano is_finished "$run/checkpoints/last.ckpt" "$run/config.yaml"; then
        cp "$run/checkpoints/last.ckpt" "$folder/$name.ckpt"
    else
        echo "Time is up within $name: call again."
        exit 0
    fi
}

gpu=(--trainer.precision=bf16-mixed --data.num_workers=12)
tokenizer=(--model.tokenizer "$folder/tokenizer")

train vae "${gpu[@]}" --data.batch_size=256 --trainer.max_steps=6000 "$@"
train clip "${gpu[@]}" "${tokenizer[@]}" --data.batch_size=512 --trainer.max_steps=4000 "$@"
train evaluation_clip "${gpu[@]}" "${tokenizer[@]}" --data.batch_size=512 \
    --trainer.max_steps=4000 "$@"

if [ ! -e "$package/weights/model_index.json" ]; then
    python -m sdtune.nano base "$folder/vae.ckpt" "$folder/clip.ckpt" "$folder/tokenizer" \
        "$folder/sprites.zip" "$package/weights"
    python -m sdtune.nano evaluation_clip "$folder/evaluation_clip.ckpt" "$folder/tokenizer" \
        "$package/evaluation_clip"
fi

train unet "${gpu[@]}" --model.base "$package/weights" --data.batch_size=512 \
    --trainer.max_steps=12000 "$@"

if [ ! "$package/README.md" -nt "$folder/unet.ckpt" ]; then
    python -m sdtune.nano unet "$folder/unet.ckpt" "$package/weights"
    python -m sdtune.nano card "$folder/sprites.zip" "--folder=$package" \
        "--prompts=${NANO_PROMPTS:-200}" "--steps=${NANO_STEPS:-25}" \
        "--scenes=${NANO_SCENES:-512}"
fi
echo "nano is done: $package holds weights, evaluation_clip and README.md, to copy into sdtune/nano."
