FROM scratch
COPY c.log /
