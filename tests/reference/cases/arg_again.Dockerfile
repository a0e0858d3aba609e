FROM busybox AS first
ARG OVER=one
ARG OVER=two
RUN echo $OVER > /over
FROM first
RUN echo "<$OVER>" > /child
