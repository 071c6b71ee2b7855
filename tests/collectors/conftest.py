"""What tests of any collector need."""

import pytest

from collectors import catalogue


@pytest.fixture
def book():
    return catalogue.read()


@pytest.fixture
def missing(book):
    """Tell what of some points the catalogue does not know, or knows otherwise."""

    def look(points):
        wrong = []
        for point in points:
            entry = book.measurement(point.measurement)
            wrong += [f"{point.measurement}: tag {tag}" for tag in point.tags if entry is None or tag not in entry.tags]
            for name, value in point.fields.items():
                field = book.field(point.measurement, name)
                if field is None:
                    wrong.append(f"{point.measurement}: field {name}")
                elif field.type != catalogue.kind(value):
                    wrong.append(f"{point.measurement}: {name} is {field.type}, written as {catalogue.kind(value)}")
        return sorted(set(wrong))

    return look
