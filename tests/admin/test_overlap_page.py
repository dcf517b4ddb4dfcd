"""The pages of overlaps: figures, who may see them, what is written down, what is said when there
is nothing, the way into the builder."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from segmentation.models import AccessRecord, Draft, Run, Segment, SegmentResult
from segmentation.services.segment_overlap import largest_segments, overlap_matrix
from tests.fixtures.cast import Cast
from tests.fixtures.overlaps import NOT_COMPUTED, Drawn, draw_named, make_segment

Enter = Callable[..., Client]


@pytest.fixture
def drawn(cast: Cast) -> Drawn:
    return draw_named()


def page(*keys: str, **more: str) -> str:
    numbers = [f"segment={Segment.objects.get(key=key).pk}" for key in keys]
    query = "&".join([*numbers, *(f"{name}={value}" for name, value in more.items())])
    return f"{reverse('admin:segmentation_segment_overlap')}?{query}"


def pair(first: str, second: str) -> str:
    numbers = [Segment.objects.get(key=key).pk for key in (first, second)]
    address = reverse("admin:segmentation_segment_pair")
    return f"{address}?first={numbers[0]}&second={numbers[1]}"


def cells(response: Any) -> list[list[str]]:
    """The texts of the matrix, row by row."""
    rows = response.context["matrix"].rows
    return [
        [strip_tags(cell) for cell in str(row.cells).split("</td>") if strip_tags(cell)]
        for row in rows
    ]


def text_of(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, address
    return str(response.content.decode())


def test_the_matrix_in_each_measure(drawn: Drawn, cast: Cast, enter: Enter) -> None:
    client, keys = enter(cast.analyst), ("wide", "inner", "apart")
    response = client.get(page(*keys))
    assert [row.name for row in response.context["matrix"].rows] == [
        "Segment wide", "Segment inner", "Segment apart",
    ]  # fmt: skip
    assert cells(response) == [["200", "60", "40"], ["60", "60", "0"], ["40", "0", "140"]]
    assert cells(client.get(page(*keys, show="share"))) == [
        ["100.0 %", "30.0 %", "20.0 %"],
        ["100.0 %", "100.0 %", "0.0 %"],
        ["28.6 %", "0.0 %", "100.0 %"],
    ]
    assert cells(client.get(page(*keys, show="jaccard"))) == [
        ["100.0 %", "30.0 %", "13.3 %"],
        ["30.0 %", "100.0 %", "0.0 %"],
        ["13.3 %", "0.0 %", "100.0 %"],
    ]
    text = response.content.decode()
    assert 'scope="row"' in text
    assert "as of 2026-03-02 00:00" in text
    rows = [[strip_tags(str(cell)) for cell in row] for row in response.context["largest"].rows]
    assert rows == [
        ["Segment wide", "Segment inner", "60", "30.0 %", "100.0 %", "30.0 %"],
        ["Segment wide", "Segment apart", "40", "20.0 %", "28.6 %", "13.3 %"],
    ]
    assert client.get(page(*keys, show="size")).status_code == 404


def test_without_a_choice_the_largest_show(drawn: Drawn, cast: Cast, enter: Enter) -> None:
    for person in (cast.operations_manager, cast.analyst, cast.store_manager):
        for number, address in ((12, page()), (100, page(all="1"))):
            response = enter(person).get(address)
            keys = largest_segments(drawn.run, viewer=person, number=number)
            shown = [row.name for row in response.context["matrix"].rows]
            assert shown == [f"Segment {key}" for key in keys]
            matrix = overlap_matrix(keys, run=drawn.run, viewer=person)
            wanted = [
                ["not shown" if count is None else f"{count:,}" for count in row]
                for row in matrix.counts
            ]
            assert cells(response) == wanted
    near = enter(cast.analyst).get(page(**{"with": "inner"}))
    assert near.context["matrix"].rows[0].name == "Segment inner"
    numbers = [choice["key"] for choice in near.context["choices"] if choice["is_chosen"]]
    assert "inner" in numbers
    assert near.context["matrix"].is_narrow is False


def test_what_is_hidden_is_not_there_for_others(drawn: Drawn, cast: Cast, enter: Enter) -> None:
    for person in (cast.analyst, cast.support_agent, cast.store_manager):
        client = enter(person)
        for address in (
            page("wide", "secret"), page(**{"with": "secret"}), pair("wide", "secret"),
        ):  # fmt: skip
            assert client.get(address).status_code == 404, address
        for address in (page(), page(all="1"), page("wide", "apart"), pair("wide", "apart")):
            text = text_of(client, address)
            assert "secret" not in text
            assert "not shown" not in text
    unknown = enter(cast.analyst).get(page("wide") + "&segment=999999")
    assert unknown.status_code == 404
    for person in (cast.integration, cast.stranger):
        for address in (page(), page("wide"), pair("wide", "apart")):
            assert enter(person).get(address).status_code == 403
    assert AccessRecord.objects.count() == 0


def test_a_look_at_hidden_segments_is_written_down(drawn: Drawn, cast: Cast, enter: Enter) -> None:
    hidden = sorted(drawn.hidden | {"secret"})
    text = text_of(enter(cast.reviewer), page(all="1"))
    assert "That you looked is written down." in text
    looks = AccessRecord.objects.order_by("subject_key").values_list(
        "subject_key", "kind", "actor", "is_hidden", "subject_kind"
    )
    assert list(looks) == [(key, "view_hidden", "reviewer", True, "segment") for key in hidden]
    enter(cast.auditor).get(pair("wide", "secret"))
    enter(cast.auditor).get(page("wide", "apart"))
    of_auditor = AccessRecord.objects.filter(actor="auditor")
    assert list(of_auditor.values_list("subject_key", flat=True)) == ["secret"]


def test_two_segments_and_who_is_in_both(drawn: Drawn, cast: Cast, enter: Enter) -> None:
    """S08: the count of a cell is the number of those its page lists."""
    response = enter(cast.analyst).get(pair("wide", "inner"))
    facts = [(strip_tags(str(name)), value) for name, value in response.context["facts"]]
    assert facts == [
        ("Segment wide", "200"), ("Segment inner", "60"), ("In both", "60"),
        ("Only “Segment wide”", "140"), ("Only “Segment inner”", "0"),
        ("Share of “Segment wide”", "30.0 %"), ("Share of “Segment inner”", "100.0 %"),
        ("Share of either (Jaccard)", "30.0 %"),
    ]  # fmt: skip
    assert response.context["total"] == "60"
    assert len(response.context["table"].rows) == 50
    rest = enter(cast.analyst).get(pair("wide", "inner") + "&" + response.context["next_url"][1:])
    assert len(rest.context["table"].rows) == 10
    assert rest.context["next_url"] is None
    own = enter(cast.store_manager).get(pair("wide", "inner"))
    matrix = overlap_matrix(["wide", "inner"], run=drawn.run, viewer=cast.store_manager)
    assert own.context["total"] == str(matrix.counts[0][1])
    assert int(own.context["total"]) < 60
    assert "Only the customers of your stores: S1." in own.content.decode()
    assert own.context["builder_url"] == ""
    assert "People who may edit drafts can do this." in own.content.decode()
    assert enter(cast.analyst).get(pair("wide", "wide")).status_code == 404


def test_a_suppressed_overlap_lists_nobody(drawn: Drawn, cast: Cast, enter: Enter) -> None:
    client = enter(cast.operations_manager)
    text = text_of(client, pair("secret", "apart"))
    assert "fewer than 30 people: it is not shown" in text
    response = client.get(pair("secret", "apart"))
    assert "table" not in response.context
    assert "builder_url" not in response.context
    assert [strip_tags(str(name)) for name, _value in response.context["facts"]] == [
        "Segment secret", "Segment apart",
    ]  # fmt: skip
    assert "d65" not in text  # nobody's id
    shown = client.get(pair("secret", "wide"))
    assert shown.context["total"] == "60"


@pytest.mark.parametrize("hidden", [False, True])
def test_a_segment_of_both_is_prepared_in_the_builder(
    drawn: Drawn, cast: Cast, enter: Enter, hidden: bool
) -> None:
    other = "secret" if hidden else "inner"
    client = enter(cast.operations_manager)
    address = client.get(pair("wide", other)).context["builder_url"]
    started = client.get(address)
    assert started.status_code == 200
    assert "A draft is prepared" in started.content.decode()
    assert "Start from nothing" not in started.content.decode()
    assert Draft.objects.count() == 0
    document = parse_qs(urlsplit(address).query)["text"][0]
    made = client.post(address, {"act": "document", "text": document})
    assert made.status_code == 302
    draft = Draft.objects.get()
    assert made["Location"] == reverse("admin:builder_draft", args=["segment", draft.key])
    assert (draft.key, draft.is_hidden) == (f"wide_and_{other}", hidden)
    assert client.get(made["Location"]).status_code == 200
    assert draft.document["rule"] == {
        "all": [{"segment": "wide", "cmp": "member"}, {"segment": other, "cmp": "member"}]
    }
    again = client.post(address, {"act": "document", "text": document})
    assert again.status_code == 422  # the key is taken; the document is there to change it
    assert "wide_and_" in again.content.decode()


def test_before_the_first_run(cast: Cast, enter: Enter) -> None:
    make_segment("one", is_hidden=False)
    make_segment("two", is_hidden=False)
    text = text_of(enter(cast.analyst), page())
    assert "No run was published yet." in text
    assert "Recompute now" in text
    assert "Recompute now" not in text_of(enter(cast.support_agent), page())
    assert "No run was published yet." in text_of(enter(cast.analyst), pair("one", "two"))


def test_too_few_and_too_many(drawn: Drawn, cast: Cast, enter: Enter) -> None:
    client = enter(cast.analyst)
    needs_two = "An overlap needs at least two segments"
    assert needs_two in text_of(client, page("wide"))
    text = text_of(client, page("wide", NOT_COMPUTED))
    assert needs_two in text
    assert f"The newest run has no result yet for: Segment {NOT_COMPUTED}." in text
    assert "has no result yet" in text_of(client, pair("wide", NOT_COMPUTED))
    many = [make_segment(f"m{number}", is_hidden=False).key for number in range(101)]
    text = text_of(client, page(*many))
    assert "At most 100 segments are compared at once." in text
    assert needs_two not in text
    SegmentResult.objects.all().delete()
    assert needs_two in text_of(client, page())


def test_a_held_run_is_told(drawn: Drawn, cast: Cast, enter: Enter) -> None:
    """S07: the figures stay those of the last good run, and say so."""
    later = drawn.run.as_of + timedelta(days=1)
    Run.objects.create(
        as_of=later, status=Run.Status.HELD, requested_by="tester", requested_at=later
    )
    for address in (page("wide", "inner"), pair("wide", "inner")):
        text = text_of(enter(cast.analyst), address)
        assert "published nothing" in text
        assert "those of the last good run, as of 2026-03-02 00:00" in text


def test_the_ways_to_the_page(drawn: Drawn, cast: Cast, enter: Enter) -> None:
    client = enter(cast.analyst)
    row = Segment.objects.get(key="inner")
    own = text_of(client, reverse("admin:segmentation_segment_change", args=[row.pk]))
    assert f'href="{page(**{"with": "inner"})}"' in own
    listed = text_of(client, reverse("admin:segmentation_segment_changelist"))
    assert f'href="{reverse("admin:segmentation_segment_overlap")}"' in listed
    chinese = text_of(enter(cast.analyst, language="zh-hans"), page("wide", "inner"))
    for words in ("重叠", "共同人数", "占本行分群比例", "分群wide", "最大的重叠"):
        assert words in chinese
