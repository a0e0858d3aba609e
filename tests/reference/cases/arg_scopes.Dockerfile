# arguments: --build-arg=OVER=cli --build-arg=UNUSED=1 --build-arg=EMPTY=
ARG BASE=busybox
ARG GLOBAL=global OVER=file
FROM ${BASE} AS first
ARG GLOBAL
ARG OVER
ARG LOCAL=local$GLOBAL OTHER
ARG EMPTY=full
RUN echo "$GLOBAL,$OVER,$LOCAL,$OTHER,$EMPTY" > /args
ENV OVER=env
RUN echo "$OVER" > /over
FROM first
ARG LAST=${LOCAL}!
ENV KEPT=$LAST
