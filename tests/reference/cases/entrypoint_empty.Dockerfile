FROM busybox AS a
ENTRYPOINT ["/entry"]
CMD ["c"]
FROM a
ENTRYPOINT []
