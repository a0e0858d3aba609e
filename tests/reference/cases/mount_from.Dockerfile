FROM busybox AS tools
RUN mkdir /t && echo tool > /t/tool && chown 9:9 /t/tool
FROM busybox
RUN --mount=from=tools,source=/t,target=/t cp -p /t/tool /copied
RUN --mount=type=cache,from=tools,source=/t,target=/c,sharing=private cat /c/tool > /cached
