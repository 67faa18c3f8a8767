"""HTML files made of a template: whole in themselves, and what is put in is escaped."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_html(room: str, template: str, **values: object) -> str:
    """The text of a page.

    Args:
        room: the package that the template lies in, such as `search.identification`.
        template: its file.
        values: that the template names; one that is missing is an error.
    """
    environment = Environment(
        loader=PackageLoader(room, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
