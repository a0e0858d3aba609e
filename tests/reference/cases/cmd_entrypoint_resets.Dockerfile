FROM busybox AS a
CMD ["from", "a"]
FROM a AS b
ENTRYPOINT ["/b"]
FROM b AS c
CMD shell form $HOME
FROM c AS d
ENTRYPOINT shell "form" d
CMD []
FROM d
CMD ["x"]
ENTRYPOINT ["y", "z\"q", "ü"]
