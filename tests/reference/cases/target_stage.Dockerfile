# arguments: --target=middle
FROM scratch AS first
COPY a.txt /
FROM scratch AS middle
COPY --from=first / /
LABEL which=middle
FROM nothing-that-exists AS last
RUN false
