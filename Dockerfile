FROM python:3.11-slim

# cpu, auto, or a CUDA version as uv writes it, such as cu128
ARG TORCH_BACKEND=cpu

ENV PATH=/opt/closecall/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONUNBUFFERED=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1

RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin closecall \
    && install --directory --owner=closecall --group=closecall /data

RUN python -m venv /opt/closecall && python -m pip install --quiet uv==0.13.9

# The dependencies by themselves, so that a change of the source does not install them again.
WORKDIR /build
COPY pyproject.toml requirements.txt ./
RUN uv pip install --python /opt/closecall --torch-backend "$TORCH_BACKEND" \
    --constraint requirements.txt --requirement pyproject.toml --extra stocks --extra china --extra web

COPY . .
RUN uv pip install --python /opt/closecall --no-deps --build-constraint requirements.txt .

ENV CLOSECALL_DATA_DIR=/data \
    CLOSECALL_TRIALS=/data/trials.jsonl \
    HF_HOME=/data/huggingface
USER closecall
WORKDIR /data
VOLUME /data
ENTRYPOINT ["closecall"]
CMD ["--help"]
