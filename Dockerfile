# The image of the operator: Debian and Python as they come, what Perdure needs, Perdure, and what it offers.
#
# Packages go where the image's own pip puts its own, so that an image made FROM this one can add more. Everything is
# compiled here: the root file system is read-only at run time, and a start that compiles takes seconds longer. Files
# have one date and modes of our own, whoever builds: the same sources give the same files. No architecture is named.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
# 1980-01-01, the oldest date that every archive can hold.
ENV SOURCE_DATE_EPOCH=315532800
WORKDIR /build

# What Perdure needs. Of the 70 MB of generated classes in `kubernetes` nothing is used at a start, so they are not
# compiled; they stay, because a package that is only half there would be a riddle to whoever imports the rest.
FROM build AS packages
COPY requirements/runtime.txt requirements/
RUN pip install --quiet --no-compile --prefix=/made --require-hashes --only-binary=:all: --requirement requirements/runtime.txt \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/kubernetes/(aio/)?client/(api|models)/' /made \
    && find /made -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

# Perdure itself, as a wheel.
FROM build AS perdure
COPY requirements/build.txt requirements/
RUN python -m venv tools \
    && tools/bin/python -m pip install --quiet --require-hashes --requirement requirements/build.txt
COPY LICENSE README.md pyproject.toml ./
COPY operator operator
RUN tools/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir=wheels . \
    && pip install --quiet --no-compile --prefix=/made --no-deps --no-index wheels/*.whl \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /made \
    && find /made -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

# What it offers. Checked hashes: whoever puts another file in the place of one of these gets what that file says.
FROM build AS offered
WORKDIR /made
COPY activities app/activities
COPY workflows app/workflows
RUN chmod -R a=rX,u+w . \
    && python -m compileall -q --invalidation-mode checked-hash . \
    && find . -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

FROM ${PYTHON_IMAGE} AS operator
# A user by number, so that `runAsNonRoot` can see that it is none of root's; by name too, for what looks it up.
RUN echo 'perdure:x:10001:10001:Perdure:/app:/usr/sbin/nologin' >>/etc/passwd \
    && echo 'perdure:x:10001:' >>/etc/group \
    && touch --date=@315532800 /etc /etc/group /etc/passwd
COPY --from=packages /made /usr/local
COPY --from=perdure /made /usr/local
COPY --from=offered /made /
WORKDIR /app
ENV PYTHONDONTWRITEBYTECODE=1 \
    PERDURE_MODULES=workflows,activities \
    PERDURE_HTTP_HOST=0.0.0.0 \
    PERDURE_LOG_FORMAT=json
LABEL org.opencontainers.image.title="Perdure" \
    org.opencontainers.image.description="Durable workflows as a Kubernetes operator: plain async Python that survives every crash." \
    org.opencontainers.image.licenses="Apache-2.0"
EXPOSE 8080
STOPSIGNAL SIGTERM
USER 10001:10001
ENTRYPOINT ["perdure"]
CMD ["run"]

# The bill of materials of that image: `make sbom`. The tool has an environment of its own, so it does not list itself.
FROM operator AS inventory
USER 0
COPY requirements/sbom.txt /inventory/
RUN python -m venv /inventory/tools \
    && /inventory/tools/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes \
        --only-binary=:all: --requirement /inventory/sbom.txt \
    && /inventory/tools/bin/cyclonedx-py environment --output-reproducible --output-format JSON \
        --output-file /inventory/perdure.cdx.json /usr/local/bin/python

FROM scratch AS sbom
COPY --from=inventory /inventory/perdure.cdx.json /

# What `docker build` makes when it is told no stage.
FROM operator
