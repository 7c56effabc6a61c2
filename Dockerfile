# mdrbench with everything it can use: BM25, dense encoders, training.
#
#   docker build -t mdrbench .                                                    # CPU
#   docker build -t mdrbench:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .    # CUDA; the host has the driver
#   docker run --rm -v mdrbench:/data mdrbench run bm25 --data sample
#   docker run --rm -v mdrbench:/data --gpus all mdrbench:cuda run me5-small --data wiki16
#
# Data, models and artifacts are in /data/cache; results are written to the working folder, /data.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm

# Where torch is from: PyPI has the build for CUDA, and download.pytorch.org those for the CPU, ROCm and XPU.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# What changes rarely goes first: torch, then the locked packages, then mdrbench itself.
WORKDIR /mdrbench
COPY requirements.lock ./
RUN pip install --index-url "${TORCH_INDEX}" "$(grep '^torch==' requirements.lock)" \
 && pip install --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY mdrbench mdrbench
COPY baselines baselines
COPY recipes recipes
COPY docs docs
COPY site site
COPY results/published results/published
RUN pip install --no-deps .

RUN useradd --create-home --uid 1000 mdrbench && install --directory --owner 1000 /data
USER 1000
WORKDIR /data
ENV MDRBENCH_CACHE=/data/cache HF_HOME=/data/huggingface
VOLUME /data
ENTRYPOINT ["mdrbench"]
CMD ["--help"]
